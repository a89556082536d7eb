"""How a run or session stands, in words, and what kind of news that is."""

from typing import Literal

from hutch_mcp_tools.run_records import RunRecord
from hutch_mcp_tools.session_records import SessionRecord

Tone = Literal["live", "good", "bad", "held", "quiet"]

_WORDS = {
    "queued": "waits for its turn",
    "starting": "starts",
    "running": "at work",
    "suspended": "held still",
    "timed_out": "out of time",
    "oom": "out of memory",
    "pids": "out of processes",
    "disk_full": "out of disk",
    "output_limit": "wrote too much",
    "budget": "budget spent",
    "killed": "killed",
    "cancelled": "stopped",
    "failed": "failed",
    "lost": "lost",
    "idle": "done, ready for more",
    "ended": "ended",
}
_TONES: dict[str, Tone] = {
    "queued": "quiet",
    "starting": "live",
    "running": "live",
    "suspended": "held",
    "cancelled": "quiet",
    "idle": "good",
    "ended": "quiet",
    "budget": "held",
}


def state(record: RunRecord | SessionRecord) -> tuple[str, Tone]:
    """Return the words and their tone."""
    if record.status == "exited":
        is_good = record.exit_code == 0
        return ("done", "good") if is_good else (f"failed with exit code {record.exit_code}", "bad")
    words = _WORDS.get(record.status, record.status)
    if record.queue_place is not None:
        words = f"{words}, place {record.queue_place}"
    if isinstance(record, RunRecord) and record.signal is not None:
        words = f"{words} by signal {record.signal}"
    return words, _TONES.get(record.status, "bad")
