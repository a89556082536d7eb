"""Comes under a system call filter and becomes a command, where no front program sets one. Python >= 3.9.

Arguments: the file of the filter, the command's words.
"""

import ctypes
import os
import sys
from pathlib import Path

_PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS, _MODE_FILTER = 22, 38, 2


def main(path: str, *words: str) -> None:
    """Does not return. Raises OSError where the kernel refuses the filter."""
    program = Path(path).read_bytes()
    instructions = ctypes.create_string_buffer(program, len(program))

    class Program(ctypes.Structure):  # struct sock_fprog
        _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_void_p))

    libc = ctypes.CDLL(None, use_errno=True)
    filled = Program(len(program) // 8, ctypes.addressof(instructions))
    asked = ((_PR_SET_NO_NEW_PRIVS, 1, 0), (_PR_SET_SECCOMP, _MODE_FILTER, ctypes.addressof(filled)))
    for option, first, second in asked:
        arguments = (ctypes.c_ulong(value) for value in (first, second, 0, 0))
        if libc.prctl(option, *arguments):
            raise OSError(ctypes.get_errno(), "the system call filter was refused")
    os.execve(words[0], words, {})  # noqa: S606 - this is no shell, and the environment comes later


if __name__ == "__main__":
    main(*sys.argv[1:])
