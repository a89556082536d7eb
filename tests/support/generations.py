"""Content of a volume that shows by itself whether it is whole, and how new it is.

Generation n appends line n to `journal`, replaces `large` if n is a multiple of 3, moves a file about, and
replaces `state` in the end: where `state` is of n, all of n is there.
"""

import random
from collections.abc import Callable
from pathlib import Path

_LARGE = 100_000  # more than an entry takes inline


def write_generation(folder: Path, number: int) -> None:
    """As a program does that means to be safe: appended, or made beside and renamed."""
    with (folder / "journal").open("ab", buffering=0) as file:
        file.write(b"line %d\n" % number)
    if number % 3 == 0:
        _replace(folder / "large", _large(number))
    made = folder / f"d{number % 4}"
    made.mkdir(exist_ok=True)
    (made / "file").write_bytes(b"%d" % number)
    if number % 2 == 0:
        (made / "file").rename(made / "moved")
    _replace(folder / "state", _state(number))


def mend(folder: Path) -> int:
    """Go on after a kill: which generation was whole. What was begun after it is taken back."""
    number = generation(folder)
    for half in folder.glob("*.new"):
        half.unlink()
    if number == 0:  # also a first generation that was begun: its line would be written twice
        for name in ("journal", "large", "state"):
            (folder / name).unlink(missing_ok=True)
        return 0
    _replace(folder / "journal", _journal(number))
    _replace(folder / "large", _large(number - number % 3))
    _replace(folder / "state", _state(number))
    return number


def generation(folder: Path, *, exactly: int | None = None) -> int:
    """Up to which generation a folder holds everything. Fails where a file is torn.

    exactly: of a folder in which nobody wrote when it was looked at.
    """
    lines = (folder / "journal").read_bytes() if (folder / "journal").exists() else b""
    count = lines.count(b"\n")
    assert lines == _journal(count), f"the journal is torn near line {count}: {lines[-40:]!r}"
    newest_state = _number(folder / "state", _state)
    newest_large = _number(folder / "large", _large)
    if exactly is not None:
        assert (newest_state, count) == (exactly, exactly)
        assert newest_large == exactly - exactly % 3
        assert not list(folder.glob("*.new"))
    return min(newest_state, count, newest_large + 2)


def _replace(path: Path, data: bytes) -> None:
    new = path.with_name(path.name + ".new")
    new.write_bytes(data)
    new.rename(path)


def _number(path: Path, content: Callable[[int], bytes]) -> int:
    if not path.exists():
        return 0
    data = path.read_bytes()
    number = int(data[:12])
    assert data == content(number), f"{path.name} is torn at generation {number}"
    return number


def _journal(number: int) -> bytes:
    return b"".join(b"line %d\n" % each for each in range(1, number + 1))


def _large(number: int) -> bytes:
    return b"%012d" % number + random.Random(number).randbytes(_LARGE)


def _state(number: int) -> bytes:
    return b"%012d\n" % number * 50
