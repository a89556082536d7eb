"""System calls that a filter leaves to the daemon: each waits for its answer (seccomp_unotify(2))."""

import ctypes
import errno
import fcntl
import os
import select
import struct
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_NUMBERS = {"x86_64": 317, "aarch64": 277}  # of seccomp(2)
_SET_MODE_FILTER, _NEW_LISTENER = 1, 8
_NOTIFICATION = struct.Struct("=QII iIQ6Q")  # struct seccomp_notif with its seccomp_data
_ANSWER = struct.Struct("=QqiI")
_RECEIVE, _SEND, _IS_VALID = 0xC0502100, 0xC0182101, 0x40082102

_libc = ctypes.CDLL(None, use_errno=True)


class _Program(ctypes.Structure):  # struct sock_fprog
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


@dataclass(frozen=True, slots=True)
class Call:
    """A call that waits for its answer."""

    listener: int
    id: int
    pid: int
    number: int
    args: tuple[int, ...]

    def check(self) -> None:
        """Raise OSError unless the caller still waits: else its number may be another process's."""
        fcntl.ioctl(self.listener, _IS_VALID, struct.pack("=Q", self.id))

    def read(self, address: int, length: int) -> bytes:
        """As much as there is of the caller's memory. Raises OSError."""
        with Path(f"/proc/{self.pid}/mem").open("rb", buffering=0) as memory:
            self.check()
            memory.seek(address)
            return memory.read(length)


def load_filter_with_listener(program: bytes) -> int:
    """Put this thread under a filter; what the filter asks comes to the descriptor. Raises OSError."""
    filled = _Program(len(program) // 8, program)
    number = ctypes.c_long(_NUMBERS[os.uname().machine])
    mode, flags = ctypes.c_ulong(_SET_MODE_FILTER), ctypes.c_ulong(_NEW_LISTENER)
    fd = int(_libc.syscall(number, mode, flags, ctypes.byref(filled)))
    if fd < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return fd


def answer_one(listener: int, answer: Callable[[Call], None]) -> bool:
    """Take a call, if there is one, and answer it: what `answer` raises as OSError is its error, else 0.

    False: everybody under the filter has ended, and nothing will come.
    """
    poll = select.poll()
    poll.register(listener, select.POLLIN)
    events = sum(event for _, event in poll.poll(0))
    if not events & select.POLLIN:  # else an older kernel would wait
        return not events & select.POLLHUP
    notification = bytearray(_NOTIFICATION.size)
    try:
        fcntl.ioctl(listener, _RECEIVE, notification)
    except OSError:  # the caller was killed
        return True
    identity, pid, _, number, _, _, *args = _NOTIFICATION.unpack(notification)
    try:
        answer(Call(listener, identity, pid, number, tuple(args)))
        error = 0
    except OSError as refused:
        error = refused.errno or errno.EPERM
    with suppress(OSError):  # it was killed meanwhile
        fcntl.ioctl(listener, _SEND, bytearray(_ANSWER.pack(identity, 0, -error, 0)))
    return True
