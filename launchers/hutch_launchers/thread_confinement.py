"""Starts a process from a thread that has first taken on what is to hold the process.

A Landlock ruleset, a filter and a set of capabilities are a thread's, and what it starts inherits them. So a
thread that lives for one start takes them on, and no code of ours runs between fork and exec, where a process
with threads must not run any.
"""

import ctypes
import os
import threading
from collections.abc import Callable
from typing import TypeVar

from hutch_launchers.launcher import LauncherError

T = TypeVar("T")

_PR_CAPBSET_READ, _PR_CAPBSET_DROP = 23, 24
_PR_SET_SECCOMP, _MODE_FILTER = 22, 2
_CAPABILITIES_V3 = 0x20080522

_libc = ctypes.CDLL(None, use_errno=True)


class _Program(ctypes.Structure):  # struct sock_fprog
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def start_confined(confine: Callable[[], None], start: Callable[[], T]) -> T:
    """Run `confine`, then `start`, in a thread that ends with them. Blocks.

    Raises LauncherError `sandbox_failed` where the kernel refuses to confine, else what they raise.
    """
    answers: list[T] = []
    errors: list[BaseException] = []

    def live() -> None:
        try:
            _take_on(confine)
            answers.append(start())
        except BaseException as error:  # noqa: BLE001 - it is raised where it is waited for
            errors.append(error)

    thread = threading.Thread(target=live, name="confined-start")
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return answers[0]


def _take_on(confine: Callable[[], None]) -> None:
    try:
        confine()
    except OSError as error:
        reason = f"the kernel refuses what is to confine the sandbox: {error}"
        raise LauncherError("sandbox_failed", reason, "see: hutch doctor") from error


def drop_capabilities() -> None:
    """Give up every capability of this thread, also for what root starts. Raises OSError."""
    if os.geteuid() == 0:
        capability = 0
        while _libc.prctl(_PR_CAPBSET_READ, capability, 0, 0, 0) >= 0:
            _check(_libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0))
            capability += 1
    header = (ctypes.c_uint32 * 2)(_CAPABILITIES_V3, 0)
    _check(_libc.capset(header, (ctypes.c_uint32 * 6)()))


def load_filter(program: bytes) -> None:
    """Have this thread's system calls looked at by the program. Needs no new privileges. Raises OSError."""
    filled = _Program(len(program) // 8, program)
    _check(_libc.prctl(_PR_SET_SECCOMP, _MODE_FILTER, ctypes.byref(filled), 0, 0))


def _check(answer: int) -> None:
    if answer < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
