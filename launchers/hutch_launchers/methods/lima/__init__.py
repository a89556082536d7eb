"""The method `lima`: a virtual machine for all runs."""
