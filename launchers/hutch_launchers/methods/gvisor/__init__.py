"""The method `gvisor`."""
