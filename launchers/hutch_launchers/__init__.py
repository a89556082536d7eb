"""Sandbox methods: give one a spec, get a process. Knows nothing of volumes, sessions or the wire."""
