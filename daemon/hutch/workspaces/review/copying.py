"""A copy of a folder, where no overlay is to be had: by reflink where the filesystem has it."""

import errno
import fcntl
import os
import stat
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from contextlib import suppress
from pathlib import Path, PurePath

from hutch.errors import HutchError
from hutch.workspaces.look import Look, Stamp, stamp_of
from hutch.workspaces.review.entries import xattrs
from hutch.workspaces.tree import Tree

_FICLONE = 0x40049409  # ioctl_ficlone(2)
_TELL_BYTES = 64 << 20  # between two words on how far it is
_NO_REFLINK = (errno.EOPNOTSUPP, errno.EXDEV, errno.EINVAL, errno.ENOTTY)


def copy_folder(
    tree: Tree,
    look: Look,
    to: Path,
    most_bytes: int,
    say: Callable[[str], None],
    hidden: AbstractSet[str] = frozenset(),
) -> dict[str, Stamp]:
    """Copy what a look has found, by the `tree` of its folder, and return the stamps of the copies.

    Of what is `hidden` there is an empty file or folder alone, to be covered: what no copy holds is seen by
    nobody, whatever becomes of the real one.

    Raises HutchError `workspace_too_large` before more than `most_bytes` are copied byte by byte.
    """
    stamps = {path: stamp for path, stamp in look.stamps.items() if not _is_below(path, hidden)}
    total = sum(stamp[1] for stamp in stamps.values() if stat.S_ISREG(stamp[0]))
    copied = told = 0
    folders: list[tuple[Path, int]] = []
    for path in sorted(stamps):
        mode = stamps[path][0]
        if stat.S_ISDIR(mode):
            (to / path).mkdir(mode=0o700)
            folders.append((to / path, stat.S_IMODE(mode) & 0o777))
        elif path in hidden:
            (to / path).touch(mode=stat.S_IMODE(mode) & 0o777)
        else:
            copied += _copy_entry(tree, path, stamps[path], to / path)
        if copied > most_bytes:
            raise HutchError(
                "workspace_too_large",
                f"the workspace holds {total >> 20} MiB, and {most_bytes >> 20} may be copied for a review",
                "use a method that has overlays (see: hutch doctor), or raise policy.review_copy_max",
            )
        if copied - told >= _TELL_BYTES:
            told = copied
            say(f"copying the workspace: {copied >> 20} of at most {total >> 20} MiB")
    for folder, mode in reversed(folders):
        folder.chmod(mode)
    return {path: stamp_of((to / path).lstat()) for path in stamps if os.path.lexists(to / path)}


def add_hidden(look: Look, to: Path, hidden: AbstractSet[str]) -> dict[str, Stamp]:
    """Make an empty place in a copy for what is hidden and came to be after it; the stamps of what was made.

    Made by whoever covers it, it would pass for a change of the sandbox. What the sandbox put there is left.
    """
    made = []
    for path in sorted(hidden):
        for part in (*map(str, reversed(PurePath(path).parents[:-1])), path):
            place = to / part
            if place.is_symlink() or part not in look.stamps:
                break
            if not place.exists():
                mode = look.stamps[part][0]
                place.mkdir() if stat.S_ISDIR(mode) else place.touch()
                place.chmod(stat.S_IMODE(mode) & 0o777)
                made.append(part)
            elif not place.is_dir():
                break
    return {part: stamp_of((to / part).lstat()) for part in made}


def _is_below(path: str, folders: AbstractSet[str]) -> bool:
    return not folders.isdisjoint(map(str, PurePath(path).parents))


def _copy_entry(tree: Tree, path: str, stamp: Stamp, to: Path) -> int:
    """Copy a file or a link; the bytes that it took. Whatever else there is has no copy."""
    mode, size, *_ = stamp
    if stat.S_ISLNK(mode):
        os.symlink(tree.target(path), to)  # noqa: PTH211 - a Path changes the text
    elif stat.S_ISREG(mode):
        with suppress(FileNotFoundError):
            return 0 if _copy_file(tree, path, to) else size
    return 0


def _copy_file(tree: Tree, path: str, to: Path) -> bool:
    """Copy one file; whether it took no space."""
    with tree.open_file(path) as read, to.open("xb") as write:
        try:
            fcntl.ioctl(write.fileno(), _FICLONE, read)
            is_free = True
        except OSError as error:
            if error.errno not in _NO_REFLINK:
                raise
            is_free = False
            while os.copy_file_range(read, write.fileno(), 1 << 30):
                pass
        status = os.fstat(read)
        os.fchmod(write.fileno(), status.st_mode & 0o777)
        for name, value in xattrs(read).items():
            with suppress(OSError):
                os.setxattr(write.fileno(), name, value)
    os.utime(to, ns=(status.st_atime_ns, status.st_mtime_ns))
    return is_free
