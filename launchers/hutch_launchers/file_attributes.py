"""Changes modes, owners and times of files for a sandbox that may not, where it may: in its own folders.

Landlock does not rule these. So the filter lets no such call through; the daemon opens the file that the
caller meant, sees that it is the caller's and in a writable folder, and makes the change by that descriptor:
nothing is looked up a second time.
"""

import asyncio
import ctypes
import errno
import os
import re
import stat
import struct
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from hutch_launchers.seccomp_listener import Call, answer_one
from hutch_launchers.syscalls import MACHINES

_AT_FDCWD, _NOFOLLOW, _EMPTY_PATH = -100, 0x100, 0x1000
_NOW, _OMIT = 0x3FFFFFFF, 0x3FFFFFFE  # UTIME_NOW, UTIME_OMIT
_OPENAT2, _NO_MAGIC_LINKS = 437, 2
_PATH_MAX = 4096
_BITS = 0o3777  # of a mode; a setuid bit is refused by the filter
_KEPT = (0xFFFFFFFF, -1)  # an owner that is to stay
_BY_FD = re.compile(rb"/(?:proc/self|dev)/fd/(\d+)")  # libraries name a descriptor so

_libc = ctypes.CDLL(None, use_errno=True)


class Attendant:
    """Answers the calls of one sandbox, from `listen` to `close`."""

    def __init__(self, writable: Sequence[Path]) -> None:
        """`writable`: the real paths of the folders and files that the sandbox may change."""
        self._writable = list(writable)
        self._loop = asyncio.get_running_loop()
        self._listener = -1
        numbers = MACHINES[os.uname().machine].numbers
        self._names = {number: name for name, number in numbers.items()}

    def listen(self, listener: int) -> None:
        """Take over a listener. May be called by any thread."""
        self._listener = listener
        self._loop.call_soon_threadsafe(self._attend)

    def _attend(self) -> None:
        if self._listener >= 0:  # else the start has failed
            self._loop.add_reader(self._listener, self._serve)

    def _serve(self) -> None:
        if not answer_one(self._listener, self._answer):
            self._loop.remove_reader(self._listener)

    def close(self) -> None:
        """What still waits for an answer is told that there is no such call."""
        if self._listener >= 0:
            self._loop.remove_reader(self._listener)
            os.close(self._listener)
            self._listener = -1

    def _answer(self, call: Call) -> None:
        name, args = self._names[call.number], call.args
        change: Callable[[int], None]
        fd, path, flags = _fd(args[0]), args[1], 0
        if name in ("chmod", "fchmod"):
            change = partial(_set_mode, mode=args[1])
            fd, path = (_AT_FDCWD, args[0]) if name == "chmod" else (fd, 0)
        elif name in ("fchmodat", "fchmodat2"):
            change, flags = partial(_set_mode, mode=args[2]), args[3] if name == "fchmodat2" else 0
        elif name in ("chown", "lchown", "fchown"):
            change, flags = partial(_keep_owner, owner=(args[1], args[2])), _NOFOLLOW * (name == "lchown")
            fd, path = (fd, 0) if name == "fchown" else (_AT_FDCWD, args[0])
        elif name == "fchownat":
            change, flags = partial(_keep_owner, owner=(args[2], args[3])), args[4]
        elif name == "utimensat":
            times = call.read(args[2], 32) if args[2] else None
            change, flags = partial(_set_times, times=times), args[3]
        else:
            raise OSError(errno.ENOSYS, name)
        opened = _open(call, fd, path, flags)
        try:
            self._check(opened)
            call.check()
            change(opened)
        finally:
            os.close(opened)

    def _check(self, fd: int) -> None:
        """Raise OSError unless the file is the caller's own, in a writable folder."""
        path = Path(f"/proc/self/fd/{fd}").readlink()
        is_inside = any(path.is_relative_to(folder) for folder in self._writable)
        if not is_inside or os.fstat(fd).st_uid != os.geteuid():
            raise OSError(errno.EPERM, "not in a writable folder")


def _fd(value: int) -> int:
    """A descriptor as the kernel takes it: the low 32 bits, with their sign."""
    return ctypes.c_int32(value & 0xFFFFFFFF).value


def _open(call: Call, fd: int, address: int, flags: int) -> int:
    """The file that a caller means by a descriptor and a path, as a path descriptor. Raises OSError."""
    text = call.read(address, _PATH_MAX).partition(b"\0")[0] if address else b""
    if by_fd := _BY_FD.fullmatch(text):
        fd, text = int(by_fd[1]), b""
    elif address and not text and not flags & _EMPTY_PATH:
        raise OSError(errno.ENOENT, "no path")
    base = "cwd" if fd == _AT_FDCWD else f"fd/{fd}"
    start = os.open(f"/proc/{call.pid}/{base}", os.O_PATH | os.O_CLOEXEC)
    if not text:
        return start
    try:
        call.check()
        return _openat2(start, text, follow=not flags & _NOFOLLOW)
    finally:
        os.close(start)


def _openat2(start: int, path: bytes, *, follow: bool) -> int:
    """Open without a way through /proc to what others have open: there it would be the daemon's."""
    how = struct.pack("=QQQ", os.O_PATH | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW), 0, _NO_MAGIC_LINKS)
    fd = int(
        _libc.syscall(ctypes.c_long(_OPENAT2), ctypes.c_long(start), path, how, ctypes.c_size_t(len(how)))
    )
    if fd < 0:
        raise OSError(ctypes.get_errno(), "cannot be opened")
    return fd


def _set_mode(fd: int, mode: int) -> None:
    if stat.S_ISLNK(os.fstat(fd).st_mode):
        raise OSError(errno.EOPNOTSUPP, "a link has no mode")
    Path(f"/proc/self/fd/{fd}").chmod(mode & _BITS)


def _keep_owner(fd: int, owner: tuple[int, int]) -> None:
    """Nobody gives a file away: it succeeds where nothing is to be changed."""
    status = os.fstat(fd)
    for wanted, present in zip(owner, (status.st_uid, status.st_gid), strict=True):
        if wanted & 0xFFFFFFFF not in (*_KEPT, present):
            raise OSError(errno.EPERM, "another owner")


def _set_times(fd: int, times: bytes | None) -> None:
    status = os.fstat(fd)
    now = time.time_ns()
    if times is None:
        new = (now, now)
    else:
        accessed_s, accessed_ns, modified_s, modified_ns = struct.unpack("=qqqq", times)
        new = (
            _time(accessed_s, accessed_ns, now, status.st_atime_ns),
            _time(modified_s, modified_ns, now, status.st_mtime_ns),
        )
    with suppress(OverflowError):
        os.utime(f"/proc/self/fd/{fd}", ns=new)


def _time(seconds: int, nanoseconds: int, now: int, present: int) -> int:
    if nanoseconds in (_NOW, _OMIT):
        return now if nanoseconds == _NOW else present
    if not 0 <= nanoseconds < 1_000_000_000:
        raise OSError(errno.EINVAL, "no time")
    return seconds * 1_000_000_000 + nanoseconds
