"""What of git's own files runs on the host, found without ever starting git: its configuration is not ours.

Sources: gitrepository-layout(5), git-config(1), git-worktree(1).
"""

import os
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

_TEXT_BYTES = 1 << 20  # of a configuration or pointer file
# Keys whose value is a path that git reads more configuration from, or a program that it runs
_KEYS = re.compile(
    r"^\s*(path|hookspath|fsmonitor|sshcommand|editor|pager|askpass|program|textconv|command|driver|clean|"
    r"smudge|process|helper|attributesfile|excludesfile|template|cmd)\s*=\s*(.+?)\s*$",
    re.IGNORECASE | re.MULTILINE,
)


@dataclass(frozen=True, slots=True)
class Missing:
    """A path that is not there and must not come: an empty folder, or a file with this content."""

    path: str
    content: bytes | None  # None: a folder


@dataclass(frozen=True, slots=True)
class LinkedWorktree:
    """The workspace is a linked worktree: its repository lies elsewhere."""

    common: Path  # the repository's git folder
    inner: Path  # what in it is this worktree's own


def is_bare_repository(names: Collection[str]) -> bool:
    """Whether a folder with these names in it is one that git takes for a repository."""
    return "HEAD" in names and "objects" in names and "refs" in names


def guarded(repository: Path) -> tuple[list[str], list[Missing]]:
    """Return the paths of a git folder that nobody may write, relative to it: those there, those missing."""
    there: list[str] = []
    missing: list[Missing] = []
    for below in ("", *_modules(repository), *_worktrees(repository)):
        wanted = (
            {"gitdir": None, "commondir": None, "config.worktree": b""}
            if below.startswith("worktrees/")
            # With ".", a repository is its own common folder, as it is without the file
            else {"hooks": None, "config": b"", "config.worktree": b"", "commondir": b".\n"}
            | ({"objects/info/alternates": b""} if (repository / below / "objects/info").is_dir() else {})
        )
        for name, content in wanted.items():
            path = f"{below}/{name}" if below else name
            if os.path.lexists(repository / path):
                there.append(path)
            elif name == "hooks" or content is not None:
                missing.append(Missing(path, content))
    return there, missing


def named_in_configuration(repository: Path, top: Path) -> Iterator[tuple[Path, bytes | None]]:
    """Yield the programs and further configuration that a repository's own names, there or not.

    Where one is not, what may stand in its place: see `Missing`.
    """
    for file in ("config", "config.worktree"):
        for key, value in _KEYS.findall(_text(repository / file)):
            word = value.strip('"').split()[0].removeprefix("!") if value.strip('"') else ""
            for base in (repository, top):
                path = Path(os.path.normpath(base / word))
                if word and (os.path.lexists(path) or _is_looked_for(key, word, is_top=base == top)):
                    # Git fails where what it includes is a folder
                    yield path, b"" if key.lower() == "path" else None


def pointed_at(pointer: Path) -> Path | None:
    """Return the git folder that a `.git` file names, whether it is there or not."""
    found = re.fullmatch(r"gitdir: (.+?)\n*", _text(pointer))
    return Path(os.path.normpath(pointer.parent / found[1])) if found else None


def linked_worktree(top: Path) -> LinkedWorktree | None:
    """Say where the repository of `top` is, if that is a linked worktree and its repository says so too.

    A file that an agent wrote must not choose what is mounted: only the repository itself, which lies outside
    of `top`, can confirm it.
    """
    inner = pointed_at(top / ".git")
    if inner is None:
        return None
    common = Path(os.path.normpath(inner / _text(inner / "commondir").strip()))
    says = _text(inner / "gitdir").strip()
    is_plain = common.resolve() == common and inner.parent == common / "worktrees"
    if not is_plain or common.is_relative_to(top) or Path(says) != top / ".git":
        return None
    return LinkedWorktree(common, inner)


def _is_looked_for(key: str, word: str, *, is_top: bool) -> bool:
    """Whether git looks below this base for what is not there: by the rules of git-config(1)."""
    if key.lower() == "path":
        return not is_top and not word.startswith("~")
    return is_top and (key.lower() == "hookspath" or "/" in word) and not word.startswith("~")


def _modules(repository: Path) -> Iterator[str]:
    """The git folders of submodules, at any depth below `modules`."""
    waiting = ["modules"]
    while waiting:
        folder = waiting.pop()
        try:
            names = {entry.name for entry in os.scandir(repository / folder)}
        except OSError:
            continue
        if is_bare_repository(names):
            yield folder
            waiting.append(f"{folder}/modules")
        else:
            waiting += [
                f"{folder}/{name}" for name in sorted(names) if _is_folder(repository / folder / name)
            ]


def _worktrees(repository: Path) -> Iterator[str]:
    try:
        names = sorted(entry.name for entry in os.scandir(repository / "worktrees"))
    except OSError:
        return
    yield from (f"worktrees/{name}" for name in names if _is_folder(repository / "worktrees" / name))


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _text(path: Path) -> str:
    """The beginning of a regular file, or nothing."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            return os.fsdecode(os.read(fd, _TEXT_BYTES))
        finally:
            os.close(fd)
    except OSError:
        return ""
