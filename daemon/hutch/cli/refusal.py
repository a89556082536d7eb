"""Errors as a person sees them, and the exit codes."""

import sys

FAILED = 1
USAGE = 2
NO_SANDBOX = 3
VOLUME_HELD = 4
TIMED_OUT = 124  # as timeout(1)
INTERRUPTED = 130
OUT_OF_MEMORY = 137  # 128 + SIGKILL, as a shell says it
PIPE_CLOSED = 141  # 128 + SIGPIPE

_CODES = {
    "method_unavailable": NO_SANDBOX,
    "guarantee_missing": NO_SANDBOX,
    "sandbox_failed": NO_SANDBOX,
    "sandbox_gone": NO_SANDBOX,
    "volume_held": VOLUME_HELD,
}


def exit_code_of(code: str) -> int:
    """The exit code for an error's code."""
    return _CODES.get(code, FAILED)


def report(message: str, hint: str = "") -> None:
    """Print an error for a person."""
    print(f"error: {message}", file=sys.stderr)
    if hint:
        print(f"hint: {hint}", file=sys.stderr)
