"""Reads instructions and skills from this host. No link within them is followed, all is bounded."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from hutch.agents.beneath import folder_beneath, read_small
from hutch.errors import HutchError

SKILL = "SKILL.md"  # the file that makes a folder a skill

_FILES = 1000  # of all skills in one folder
_BYTES = 16 << 20  # of one of them; together they are bounded where they are given
_DEEP = 16  # folders in each other

Skills = dict[str, dict[str, str]]  # name -> path within -> text


def read_instructions(file: Path) -> str:
    """Return a file's text. Raises HutchError `given_invalid`."""
    file = Path(os.path.realpath(file))  # named by the caller himself
    return _text(file.parent, (), file.name)


def read_skills(folder: Path) -> Skills:
    """Return the skills in a folder: itself one, or a folder for each; what is no skill is left out.

    Raises HutchError `given_invalid`.
    """
    folder = Path(os.path.realpath(folder))  # from there on no link is followed
    found: Skills = {}
    is_one = _is_skill(folder, ())
    names = [()] if is_one else [(name,) for name, status in _entries(folder, ()) if _is_folder(status)]
    left = _FILES
    for place in names:
        if _is_skill(folder, place):
            name = place[0] if place else folder.name
            found[name] = {path: _text(folder, above, last) for path, above, last in _walk(folder, place)}
            left -= len(found[name])
            if left < 0:
                raise _invalid(folder, f"holds more than {_FILES} files")
    return found


def _walk(folder: Path, place: tuple[str, ...]) -> Iterator[tuple[str, tuple[str, ...], str]]:
    """Yield (path within the skill, the folders above it, its name) of each file."""
    waiting: list[tuple[str, ...]] = [()]
    seen = 0
    while waiting:
        inner = waiting.pop()
        for name, status in _entries(folder, (*place, *inner)):
            seen += 1
            where = folder.joinpath(*place, *inner, name)
            if seen > _FILES or len(inner) > _DEEP:
                raise _invalid(folder, f"holds more than {_FILES} files, or {_DEEP} folders in each other")
            if _is_folder(status):
                waiting.append((*inner, name))
            elif stat.S_ISREG(status.st_mode):
                yield "/".join((*inner, name)), (*place, *inner), name
            else:
                raise _invalid(where, "is a link, or no file at all")


def _entries(folder: Path, names: tuple[str, ...]) -> list[tuple[str, os.stat_result]]:
    try:
        with folder_beneath(folder, *names) as fd, os.scandir(fd) as entries:
            found = [(entry.name, entry.stat(follow_symlinks=False)) for entry in entries]
    except OSError as error:
        raise _invalid(folder.joinpath(*names), f"cannot be read: {error.strerror}") from error
    return sorted(found)


def _text(folder: Path, names: tuple[str, ...], name: str) -> str:
    where = folder.joinpath(*names, name)
    try:
        with folder_beneath(folder, *names) as fd:
            return read_small(fd, name, _BYTES).decode()
    except OSError as error:
        raise _invalid(where, f"cannot be read: {error.strerror}") from error
    except ValueError as error:  # which an error of decoding is too
        why = "is not UTF-8 text" if isinstance(error, UnicodeError) else f"is {error}"
        raise _invalid(where, why) from None


def _is_skill(folder: Path, place: tuple[str, ...]) -> bool:
    return any(name == SKILL and stat.S_ISREG(status.st_mode) for name, status in _entries(folder, place))


def _is_folder(status: os.stat_result) -> bool:
    return stat.S_ISDIR(status.st_mode)


def _invalid(where: Path, why: str) -> HutchError:
    return HutchError(
        "given_invalid", f"{where} {why}", "give plain files of text, at most 16 MiB, and no links"
    )
