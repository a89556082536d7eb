"""The method `nsjail`."""
