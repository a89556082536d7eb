"""The method `account`: a dedicated account of the host for each run, and what it is granted or denied."""
