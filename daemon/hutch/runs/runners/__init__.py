"""Runs that processes of their own take, as the daemon follows them."""
