"""The head of a script: its leading block of comments, and the annotations in it.

Only that block counts; the first line of code ends it. What is not an annotation is prose, and stays so as
long as it cannot be taken for one: a lower-case word with a colon is an annotation or an error.
"""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from difflib import get_close_matches

from hutch.errors import HutchError

SANDBOX = "sandbox"
VOLUME = "volume"
_LINES = 1000  # of a head; more is no head
_WORD = re.compile(r"([A-Za-z][A-Za-z0-9_-]*):(?:\s+(.*)|$)", re.DOTALL)
_UNMARKED = re.compile(r"volume\s+\S+\s+\S+(?:\s+ro)?")  # a volume without its colon
# What other tools and people write in front of a colon
_OTHERS = re.compile(
    r"(?:coding|type|vim?|ex|noqa|ruff|mypy|pylint|flake8|isort|fmt|black|pyright|shellcheck|eslint|prettier|biome"
    r"|cspell|nosec|author|license|copyright|notes?|todo|fixme|hint|usage|examples?|see)"
)


@dataclass(frozen=True, slots=True)
class Annotation:
    """One line of a head: `word: text`, or `sandbox text`."""

    line: int  # counted from 1
    word: str
    text: str


def read_head(text: str, name: str, comment: str, known: Collection[str]) -> tuple[Annotation, ...]:
    """Return the annotations at the head of a script called `name`; `known` are the words that there are.

    Raises HutchError `script_invalid`, which shows file, line and the nearest word.
    """
    return tuple(
        said
        for number, line in _comments(text, comment)
        if (said := _read(line, number, name, known)) is not None
    )


def refusal(name: str, line: int, why: str, hint: str = "") -> HutchError:
    """What is wrong with a line of a script."""
    return HutchError("script_invalid", f"{name}:{line}: {why}", hint)


def _comments(text: str, comment: str) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(text.removeprefix("\ufeff").split("\n", _LINES)[:_LINES], 1):
        said = line.strip()
        if number == 1 and said.startswith("#!"):
            continue
        if said and not said.startswith(comment):
            return
        yield number, said.removeprefix(comment).strip()


def _read(said: str, line: int, name: str, known: Collection[str]) -> Annotation | None:
    words = said.split()
    if words[:1] == [SANDBOX]:
        if len(words) > 2:
            raise refusal(
                name, line, f"'sandbox' takes one image: {said[:80]!r}", "write sandbox, or sandbox IMAGE"
            )
        return Annotation(line, SANDBOX, f"image {words[1]}" if len(words) == 2 else "")
    if found := _WORD.fullmatch(said):
        return _said(found[1], (found[2] or "").strip(), line, name, known)
    if _UNMARKED.fullmatch(said):
        raise refusal(
            name, line, f"'volume' without its colon: {said[:80]!r}", "write volume: NAME PATH [ro]"
        )
    if len(words) == 1 and get_close_matches(said, [SANDBOX], 1, 0.8):
        raise refusal(name, line, f"{said[:80]!r} is no annotation", f"did you mean {SANDBOX!r}?")
    return None


def _said(word: str, text: str, line: int, name: str, known: Collection[str]) -> Annotation | None:
    if word in known:
        return Annotation(line, word, text)
    if word.lower() in known:
        raise refusal(name, line, f"{word!r} is no annotation", f"they are in lower case: {word.lower()}")
    if word != word.lower() or _OTHERS.fullmatch(word):
        return None
    near = get_close_matches(word, known, 1)
    meant = f"did you mean {near[0]!r}? " if near else ""
    prose = "a comment begins with a capital letter, or stands below code"
    raise refusal(
        name, line, f"{word!r} is no annotation", f"{meant}known: {', '.join(sorted(known))}; {prose}"
    )
