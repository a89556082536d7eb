"""What container engines have in common: a container with our guest, for one run, then thrown away."""
