"""Runs that are commands: in a kept sandbox, or a script's."""
