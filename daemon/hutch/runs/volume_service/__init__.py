"""The volumes' part of the service."""
