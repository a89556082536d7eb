"""The codes by which commands end."""

from typing import Protocol

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


class _Ended(Protocol):
    """A run's record, as it is kept or as it goes over the wire."""

    @property
    def status(self) -> str: ...
    @property
    def exit_code(self) -> int | None: ...
    @property
    def signal(self) -> int | None: ...
    @property
    def dropped_bytes(self) -> int: ...


def exit_code_of(code: str) -> int:
    """The exit code for an error's code."""
    return _CODES.get(code, FAILED)


def exit_code(record: _Ended) -> int:
    """The code that tells a shell how a run ended: the command's own where it has one."""
    if record.status in ("exited", "pids", "disk_full"):
        code = record.exit_code if record.exit_code is not None else 128 + (record.signal or 0)
        # who reads a pipe must not take it for whole
        return code or (FAILED if record.dropped_bytes or record.status != "exited" else 0)
    ends = {"timed_out": TIMED_OUT, "oom": OUT_OF_MEMORY, "cancelled": INTERRUPTED}
    killed = 128 + record.signal if record.signal else FAILED
    return ends.get(record.status, killed)
