"""How a file's content changed, for people: a unified diff, as git has it. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import Match, SequenceMatcher, unified_diff
from itertools import accumulate

from hutch_mcp_tools.text import patch_name

TEXT_BYTES = 512 << 10  # of a file; a larger one is told by its sizes only
_TEXT_LINES = 10_000  # comparing more takes too long
_MOST_STEPS = 3_000_000  # of comparing two files: a second of a quick machine
_NO_NEWLINE = "\\ No newline at end of file\n"


@dataclass(frozen=True, slots=True)
class PatchText:
    """`text` is empty where `note` says why: binary, too large."""

    text: str = ""
    added: int = 0
    deleted: int = 0
    note: str = ""


def patch_text(path: str, before: bytes | None, after: bytes | None) -> PatchText:
    """None: there was no file, or is none any more."""
    try:
        old, new = _lines(before), _lines(after)
    except UnicodeDecodeError:
        return PatchText(note="binary")
    if max(len(old), len(new)) > _TEXT_LINES:
        return PatchText(note=f"over {_TEXT_LINES} lines")
    if _takes_long(old, new):
        return PatchText(note="too many lines that are alike")
    names = (
        patch_name(f"a{path}") if before is not None else "/dev/null",
        patch_name(f"b{path}") if after is not None else "/dev/null",
    )
    parts: list[str] = []
    added = deleted = 0
    for number, line in enumerate(unified_diff(old, new, *names)):
        added += number > 1 and line.startswith("+")
        deleted += number > 1 and line.startswith("-")
        parts.append(line if line.endswith("\n") else f"{line}\n{_NO_NEWLINE}")
    return PatchText("".join(parts), added, deleted)


class _TooLongError(Exception):
    pass


class _Bounded(SequenceMatcher[str]):
    """Counts its steps beforehand: of lines that stand there often it makes as many as it likes."""

    b2j: dict[str, list[int]]  # documented, and missing in its types

    def __init__(self, old: Sequence[str], new: Sequence[str]) -> None:
        super().__init__(None, old, new)
        self._until = [0, *accumulate(len(self.b2j.get(line, ())) + 1 for line in old)]
        self._left = _MOST_STEPS

    def find_longest_match(
        self, alo: int = 0, ahi: int | None = None, blo: int = 0, bhi: int | None = None
    ) -> Match:
        self._left -= self._until[-1 if ahi is None else ahi] - self._until[alo]
        if self._left < 0:
            raise _TooLongError
        return super().find_longest_match(alo, ahi, blo, bhi)


def _takes_long(old: Sequence[str], new: Sequence[str]) -> bool:
    try:
        _Bounded(old, new).get_matching_blocks()
    except _TooLongError:
        return True
    return False


def _lines(data: bytes | None) -> list[str]:
    """Raises UnicodeDecodeError for what is no text."""
    if not data:
        return []
    if b"\0" in data:
        raise UnicodeDecodeError("utf-8", data, 0, 1, "it is no text")
    *lines, last = data.decode().split("\n")  # at nothing else: splitlines() knows ten more line ends
    return [f"{line}\n" for line in lines] + ([last] if last else [])
