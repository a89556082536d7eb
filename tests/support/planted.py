"""Looks for a planted word, byte by byte, in what sandboxes of this host hold: memory, environment, files."""

import os
import re
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

LOOKED = "tmp/looked"  # made in a sandbox that was looked into
# Waits for that, inside; whoever is not root looks into nothing
WAIT = f"for i in $(seq {900 if os.geteuid() == 0 else 1}); do [ -e /{LOOKED} ] && break; sleep 0.1; done"
_PLACEHOLDER = re.compile(rb"hutch[0-9a-f]{32}")
_PIECE = 4 << 20
_FOLDERS = ("home", "tmp", "workspace", "opt", "etc", "run", "var", "dev/shm")
_LARGEST = 64 << 20  # of a file: programs are larger, and have no business with secrets


def sandboxed(word: bytes) -> list[Path]:
    """Folders in /proc of what runs in sandboxes that were given the word, or a placeholder."""
    own = Path("/proc/self/ns/pid").readlink()
    spaces: dict[Path, list[Path]] = {}
    given = set()
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            space = (entry / "ns/pid").readlink()
            if space == own:
                continue
            spaces.setdefault(space, []).append(entry)
            environ = (entry / "environ").read_bytes()
            if word in environ or _PLACEHOLDER.search(environ):
                given.add(space)
    return [entry for space in given for entry in spaces[space]]


def found_inside(entries: Sequence[Path], word: bytes) -> list[str]:
    """Where processes, or the files that they see, hold the word."""
    found = []
    for entry in entries:
        found += [f"{entry}/{name}" for name in ("environ", "cmdline") if word in _read(entry / name)]
        found += [f"{entry}/mem at {start:x}" for start in _memory_with(entry, word)]
    for entry in _with_own_roots(entries):
        found += found_below(*(entry / "root" / name for name in _FOLDERS), word=word)
        _mark(entry / "root" / LOOKED)
    return found


def _with_own_roots(entries: Sequence[Path]) -> list[Path]:
    """One process of each view of the files."""
    views = {}
    for entry in entries:
        with suppress(OSError):
            views[(entry / "ns/mnt").readlink(), (entry / "root").stat().st_ino] = entry
    return [entry for entry in views.values() if _has_own_root(entry)]


def _mark(path: Path) -> None:
    """Make a file there, in the name of whom the folder belongs to: root is nobody in another's namespace."""
    with suppress(OSError):
        owner = str(path.parent.stat().st_uid)
        words = ["setpriv", "--reuid", owner, "--regid", owner, "--clear-groups", "touch", str(path)]
        subprocess.run(words, stderr=subprocess.DEVNULL, check=False)


def _has_own_root(entry: Path) -> bool:
    try:
        return not (entry / "root").samefile("/")
    except OSError:
        return False


def found_below(*folders: Path, word: bytes) -> list[str]:
    """Files below these folders that hold the word."""
    return [str(path) for folder in folders for path in _files(folder) if word in _read(path)]


def _files(folder: Path) -> Iterator[Path]:
    for at, _, names in os.walk(folder):
        for name in names:
            path = Path(at, name)
            with suppress(OSError):
                if path.is_file() and not path.is_symlink() and path.stat().st_size <= _LARGEST:
                    yield path


def _memory_with(entry: Path, word: bytes) -> Iterator[int]:
    """Yield the beginning of every resident region that holds the word."""
    try:
        with (entry / "mem").open("rb", buffering=0) as memory:
            for start, end in _resident(entry):
                if _holds(memory.fileno(), start, end, word):
                    yield start
    except OSError:
        return  # it has ended


def _resident(entry: Path) -> Iterator[tuple[int, int]]:
    start = end = 0
    is_read = False
    for line in (entry / "smaps").read_text().splitlines():
        first = line.split()[0]
        if "-" in first and not first.endswith(":"):
            start, end = (int(side, 16) for side in first.split("-"))
            is_read = line.split()[1].startswith("rw")  # what is not written holds nothing that came in
        elif first == "Rss:" and is_read and int(line.split()[1]):
            yield start, end


def _holds(memory: int, start: int, end: int, word: bytes) -> bool:
    kept = b""
    for at in range(start, end, _PIECE):
        try:
            piece = os.pread(memory, min(_PIECE, end - at), at)
        except (OSError, OverflowError):
            return False
        if word in kept + piece:
            return True
        kept = piece[-len(word) :]
    return False


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""
