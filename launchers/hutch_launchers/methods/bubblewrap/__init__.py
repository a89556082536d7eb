"""The method `bubblewrap`."""
