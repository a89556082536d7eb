"""Content that one sandbox after the other is given: written into memory once, and sealed."""

import fcntl
import os
from contextlib import ExitStack

_MOST = 64  # what differs from sandbox to sandbox must not pile up
_SEALS = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL
_known: dict[bytes, int] = {}


def open_constant(content: bytes, stack: ExitStack) -> int:
    """A descriptor that yields `content` from its start, with a position of its own; `stack` closes it."""
    if content not in _known:
        if len(_known) == _MOST:
            _forget()
        _known[content] = _sealed(content)
    fd = os.open(f"/proc/self/fd/{_known[content]}", os.O_RDONLY | os.O_CLOEXEC)
    stack.callback(os.close, fd)
    return fd


def _sealed(content: bytes) -> int:
    fd = os.memfd_create("hutch-constant", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.pwrite(fd, content, 0)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SEALS)
    return fd


def _forget() -> None:
    while _known:
        os.close(_known.popitem()[1])
