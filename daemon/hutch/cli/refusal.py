"""Errors as a person sees them."""

import sys


def report(message: str, hint: str = "") -> None:
    """Print an error for a person."""
    print(f"error: {message}", file=sys.stderr)
    if hint:
        print(f"hint: {hint}", file=sys.stderr)
