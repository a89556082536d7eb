"""One file's change as hunks: shown, and some of them taken. Pure."""

from collections.abc import Collection
from difflib import SequenceMatcher

_AROUND = 3  # lines of context, as `difflib.unified_diff` has


def hunk_count(patch: str) -> int:
    """Return how many hunks a unified diff has."""
    return f"\n{patch}".count("\n@@ ")


def take_hunks(before: bytes, after: bytes, wanted: Collection[int]) -> bytes | None:
    """Return `before` with some hunks of the change to `after`, numbered from 1; None: one is not there."""
    old, new = _lines(before), _lines(after)
    groups = list(SequenceMatcher(None, old, new).get_grouped_opcodes(_AROUND))
    if not wanted or min(wanted) < 1 or max(wanted) > len(groups):
        return None
    taken: list[bytes] = []
    at = 0
    for number, group in enumerate(groups, 1):
        for tag, i1, i2, j1, j2 in group:
            taken += old[at:i1]
            taken += new[j1:j2] if number in wanted and tag != "equal" else old[i1:i2]
            at = i2
    return b"".join(taken + old[at:])


def _lines(data: bytes) -> list[bytes]:
    *lines, last = data.split(b"\n")
    return [line + b"\n" for line in lines] + ([last] if last else [])
