"""The words that start our guest in any root: an interpreter of the host, with its own loader and libraries.

An image may have no Python, or another C library. So the host's /usr is shown, read-only, in a place of ours,
and its Python is started by its own dynamic loader from there.
"""

import struct
from functools import cache
from pathlib import Path, PurePosixPath

from hutch_launchers.interpreter import Interpreter
from hutch_launchers.launcher import LauncherError
from hutch_launchers.spec import Mount

_PLACE = PurePosixPath("/opt/hutch/usr")
_PYTHON = Path("/usr/bin/python3")
_PT_INTERP = 3


@cache
def foreign_interpreter() -> tuple[tuple[str, ...], Interpreter]:
    """The words in front of the guest's, and what they need. Raises LauncherError `method_unavailable`."""
    try:
        python = _PYTHON.resolve(strict=True)
        loader = _loader(python).resolve(strict=True)
        libraries = loader.parent
        words = [str(loader), "--library-path", str(libraries), str(python)]
        if not all(Path(word).is_relative_to("/usr") for word in (words[0], words[3])):
            raise ValueError("it is not in /usr")
    except (OSError, ValueError) as error:
        raise LauncherError(
            "method_unavailable",
            f"no Python of this host can be brought into an image: {error}",
            "install python3 in /usr (Debian, Ubuntu: apt install python3)",
        ) from error
    inside = tuple(f"/opt/hutch{word}" if word.startswith("/usr") else word for word in words)
    return inside, Interpreter(inside[0], (Mount(Path("/usr"), _PLACE),))


def _loader(program: Path) -> Path:
    """The dynamic loader that a 64-bit ELF program names. Raises ValueError."""
    content = program.read_bytes()
    if content[:5] != b"\x7fELF\x02":
        raise ValueError(f"{program} is no 64-bit program")
    order = "<" if content[5] == 1 else ">"
    (table,) = struct.unpack_from(f"{order}Q", content, 32)
    size, count = struct.unpack_from(f"{order}HH", content, 54)
    for n in range(count):
        kind, _, offset, _, _, length = struct.unpack_from(f"{order}IIQQQQ", content, table + n * size)
        if kind == _PT_INTERP:
            return Path(content[offset : offset + length].rstrip(b"\0").decode())
    raise ValueError(f"{program} names no loader")
