"""The service as the daemon gives it: all that a principal may ask, on the wire's records."""
