"""Attacks by nested namespaces, and by the system call numbers of other machines."""

import ctypes
import errno
import fcntl
import mmap
import os
import signal
import struct
import subprocess
import threading
from typing import NoReturn

from hutch_launchers.contract.attacks.calls import NR
from hutch_launchers.contract.attacks.inside import (
    IS_X86,
    Contained,
    Missed,
    allowed,
    attack,
    denied,
    flat,
    syscall,
)

_X32 = 0x40000000  # __X32_SYSCALL_BIT
_HIGH = 1 << 32
_CLONE_NEW = {
    "time": 0x80, "mount": 0x20000, "cgroup": 0x02000000, "uts": 0x04000000, "ipc": 0x08000000,
    "user": 0x10000000, "pid": 0x20000000, "net": 0x40000000,
}  # fmt: skip


for _name, _flag in _CLONE_NEW.items():
    for _spelling, _bits in {"": _flag, "_high": _HIGH | _flag, "_more": _flag | 0x400}.items():
        flat("kernel/nested-namespaces", f"unshare_{_name}{_spelling}", NR.get("unshare"), _bits)
    if _name != "time":
        for _spelling, _bits in {"": _flag | signal.SIGCHLD, "_high": _HIGH | _flag | signal.SIGCHLD}.items():
            flat("kernel/nested-namespaces", f"clone_{_name}{_spelling}", NR.get("clone"), _bits, 0, 0, 0, 0)


@attack("kernel/nested-namespaces")
def clone3_with_a_user_namespace() -> NoReturn:
    arguments = struct.pack("8Q", _CLONE_NEW["user"], 0, 0, 0, signal.SIGCHLD, 0, 0, 0)
    denied(NR["clone3"], arguments, len(arguments))


@attack("kernel/nested-namespaces")
def join_a_namespace() -> NoReturn:
    denied(NR["setns"], os.open("/proc/1/ns/user", os.O_RDONLY), 0)


@attack("kernel/nested-namespaces")
def join_by_pidfd() -> NoReturn:
    denied(NR["setns"], syscall(NR["pidfd_open"], 1, 0), _CLONE_NEW["user"] | _CLONE_NEW["mount"])


@attack("kernel/nested-namespaces")
def ask_for_the_parent_namespace() -> None:
    fcntl.ioctl(os.open("/proc/self/ns/user", os.O_RDONLY), 0xB702)  # NS_GET_PARENT


@attack("kernel/nested-namespaces")
def unshare_by_program() -> None:
    ended = subprocess.run(
        ["unshare", "-Ur", "mount", "-t", "tmpfs", "x", "/tmp"], capture_output=True, check=False
    )
    if ended.returncode:
        raise Contained(ended.stderr.decode(errors="replace").strip())


@allowed("kernel/nested-namespaces")
def threads_and_vfork_work() -> None:
    thread = threading.Thread(target=int)
    thread.start()
    thread.join()
    assert os.posix_spawn("/bin/true", ["true"], {}) > 0


@attack("kernel/other-abi")
def call_through_the_32_bit_gate() -> str:
    if not IS_X86:
        raise Contained("no such gate on this machine")
    code = b"\xb8\x14\x00\x00\x00\xcd\x80\xc3"  # mov eax, 20 (getpid); int 0x80; ret
    with mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC) as memory:
        memory.write(code)
        address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
        got = ctypes.CFUNCTYPE(ctypes.c_int)(address)()
        if -got in (errno.ENOSYS, errno.EPERM):
            raise Contained(f"int 0x80 is refused: {errno.errorcode[-got]}")
        raise Missed(f"int 0x80 returned {got}")


@attack("kernel/other-abi")
def numbers_of_x32() -> None:
    if not IS_X86:
        raise Contained("no such numbers on this machine")
    for name in ("getpid", "unshare", "mount", "ptrace", "socket"):
        try:
            denied(NR[name] | _X32, 0, 0, 0, 0)
        except OSError:
            continue
    raise Contained("every call with the x32 bit is refused")


@attack("kernel/other-abi")
def numbers_from_the_future() -> None:
    for number in (*range(470, 520), 547, 600, 1000, 0x7FFFFFFF):
        try:
            denied(number, 0, 0, 0, 0, 0, 0)
        except OSError:
            continue
    raise Contained("calls newer than the filter are refused")


@allowed("kernel/other-abi")
def the_native_numbers_work() -> None:
    assert syscall(NR["getpid"]) == os.getpid()
