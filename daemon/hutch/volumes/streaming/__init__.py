"""Commits while a run works."""
