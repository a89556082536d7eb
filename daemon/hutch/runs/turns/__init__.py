"""Runs that are turns of agents, and the sessions that they make."""
