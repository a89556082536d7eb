"""Errors as a person sees them."""

import sys

from hutch_mcp_tools.text import harmless


def report(message: str, hint: str = "") -> None:
    """Print an error for a person. What of it a sandbox wrote controls no terminal, and forges no hint."""
    for said in (f"error: {message}", f"hint: {hint}")[: 1 + bool(hint)]:
        print(harmless(said).replace("\n", "\n  "), file=sys.stderr)
