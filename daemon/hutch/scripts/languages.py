"""The languages of scripts: by what a file's name ends with."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import PurePath

from hutch.errors import HutchError


class Guest(StrEnum):
    """Who calls a script's `main` inside."""

    PYTHON = "python"
    JAVASCRIPT = "javascript"
    BASH = "bash"


@dataclass(frozen=True, slots=True)
class Language:
    """How a script is read and run."""

    name: str
    comment: str  # what a line of comment begins with
    guest: Guest


_PYTHON = Language("Python", "#", Guest.PYTHON)
_JAVASCRIPT = Language("JavaScript", "//", Guest.JAVASCRIPT)
_TYPESCRIPT = Language("TypeScript", "//", Guest.JAVASCRIPT)
_BASH = Language("Bash", "#", Guest.BASH)
_SUFFIXES = {
    ".py": _PYTHON,
    ".js": _JAVASCRIPT,
    ".mjs": _JAVASCRIPT,
    ".ts": _TYPESCRIPT,
    ".mts": _TYPESCRIPT,
    ".sh": _BASH,
    ".bash": _BASH,
}


def is_script(name: str) -> bool:
    """Whether a file of this name is one that can be run by itself."""
    return PurePath(name).suffix in _SUFFIXES


def language_of(name: str) -> Language:
    """Return the language of a script. Raises HutchError `script_invalid`."""
    found = _SUFFIXES.get(PurePath(name).suffix)
    if found is None:
        raise HutchError(
            "script_invalid",
            f"{name[:200]!r} is in no language that is known here",
            f"a script's name ends with {', '.join(_SUFFIXES)}",
        )
    return found
