"""The ways in: sockets inside a sandbox, served from outside."""
