"""How a file's content changed, for people: a unified diff, as git has it. Pure."""

from dataclasses import dataclass
from difflib import unified_diff

TEXT_BYTES = 512 << 10  # of a file; a larger one is told by its sizes only
_TEXT_LINES = 10_000  # comparing more takes too long
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
    names = (
        f"a{path}" if before is not None else "/dev/null",
        f"b{path}" if after is not None else "/dev/null",
    )
    parts: list[str] = []
    added = deleted = 0
    for number, line in enumerate(unified_diff(old, new, *names)):
        added += number > 1 and line.startswith("+")
        deleted += number > 1 and line.startswith("-")
        parts.append(line if line.endswith("\n") else f"{line}\n{_NO_NEWLINE}")
    return PatchText("".join(parts), added, deleted)


def _lines(data: bytes | None) -> list[str]:
    """Raises UnicodeDecodeError for what is no text."""
    if not data:
        return []
    if b"\0" in data:
        raise UnicodeDecodeError("utf-8", data, 0, 1, "it is no text")
    *lines, last = data.decode().split("\n")  # at nothing else: splitlines() knows ten more line ends
    return [f"{line}\n" for line in lines] + ([last] if last else [])
