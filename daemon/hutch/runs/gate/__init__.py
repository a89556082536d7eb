"""What stands between callers and the service: who may call what, and what they are told."""
