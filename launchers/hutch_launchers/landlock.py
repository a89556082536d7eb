"""Landlock: which files a thread, and all that it starts, may open. See landlock(7).

It rules the opening, making, removing and renaming of files, TCP ports, and, from ABI 6 on, signals and
abstract unix sockets. It does not rule modes, owners and times of files, sockets in files, or /proc.
"""

import ctypes
import os
import stat
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # the same on every architecture
OLDEST = 3  # that is of use, of Linux 6.2: before, any file could be truncated
_VERSION = 1  # LANDLOCK_CREATE_RULESET_VERSION
_PATH_BENEATH, _NET_PORT = 1, 2
_PR_SET_NO_NEW_PRIVS = 38

_EXECUTE, _WRITE, _READ, _READ_DIR = 1, 2, 4, 8
_REMOVE_DIR, _REMOVE_FILE, _CHARACTER, _FOLDER = 0x10, 0x20, 0x40, 0x80
_REGULAR, _SOCKET, _FIFO, _BLOCK, _SYMLINK = 0x100, 0x200, 0x400, 0x800, 0x1000
_REFER, _TRUNCATE, _IOCTL_DEV = 0x2000, 0x4000, 0x8000
_OF_FILES = _EXECUTE | _WRITE | _READ | _TRUNCATE | _IOCTL_DEV
_TCP, _CONNECT = 3, 2  # to bind and to connect
_SCOPED = 3  # abstract unix sockets and signals

READ = _EXECUTE | _READ | _READ_DIR
WRITE = (
    READ | _WRITE | _TRUNCATE | _REMOVE_DIR | _REMOVE_FILE | _FOLDER | _REGULAR | _FIFO | _SYMLINK | _REFER
)
USE = _READ | _WRITE  # a device

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Rule:
    """What may be done at and below a file or folder, given by a descriptor."""

    fd: int
    access: int


@cache
def abi() -> int:
    """The version of Landlock that the kernel has; 0: none, or switched off."""
    answer = _libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(_VERSION))
    return max(0, int(answer))


def make_ruleset(rules: Iterable[Rule], ports: Iterable[int] = ()) -> int:
    """A ruleset that allows what the rules say and nothing else, as a descriptor. Raises OSError.

    `ports` are those to which TCP connections may be made, wherever.
    """
    files = (1 << (13 + (abi() >= 2) + (abi() >= 3) + (abi() >= 5))) - 1
    attributes = struct.pack("=QQQ", files, _TCP, _SCOPED)[: 24 if abi() >= 6 else 16 if abi() >= 4 else 8]
    fd = _checked(_libc.syscall(_CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), 0))
    try:
        for rule in rules:
            is_folder = stat.S_ISDIR(os.fstat(rule.fd).st_mode)
            access = rule.access & files & (-1 if is_folder else _OF_FILES)
            beneath = struct.pack("=Qi", access, rule.fd)
            _checked(_libc.syscall(_ADD_RULE, fd, _PATH_BENEATH, beneath, 0))
        for port in ports if abi() >= 4 else ():
            _checked(_libc.syscall(_ADD_RULE, fd, _NET_PORT, struct.pack("=QQ", _CONNECT, port), 0))
    except BaseException:
        os.close(fd)
        raise
    return fd


def restrict_this_thread(ruleset: int) -> None:
    """Hold this thread, and what it starts, to the ruleset for ever. Raises OSError."""
    _checked(_libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    _checked(_libc.syscall(_RESTRICT_SELF, ruleset, 0))


def _checked(answer: int) -> int:
    if answer < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return answer
