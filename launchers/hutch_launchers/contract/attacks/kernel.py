"""Attacks on the kernel: risky system calls in every spelling."""

import ctypes
import errno
import mmap
import os
import select
import time
from typing import NoReturn

from hutch_launchers.contract.attacks.calls import NR
from hutch_launchers.contract.attacks.inside import Contained, allowed, attack, denied, flat, syscall

_X32 = 0x40000000  # __X32_SYSCALL_BIT
_HIGH = 1 << 32  # beyond the 32 bits that the kernel looks at in many arguments

_params = ctypes.create_string_buffer(256)
flat("kernel/io-uring", "io_uring_setup", NR.get("io_uring_setup"), 8, _params)
flat("kernel/io-uring", "io_uring_enter", NR.get("io_uring_enter"), 0, 0, 0, 0, 0, 0)
flat("kernel/io-uring", "io_uring_register", NR.get("io_uring_register"), 0, 0, 0, 0)
flat("kernel/bpf", "bpf", NR.get("bpf"), 0, _params, 128)
flat("kernel/perf-event-open", "perf_event_open", NR.get("perf_event_open"), _params, 0, -1, -1, 0)
flat("kernel/userfaultfd", "userfaultfd", NR.get("userfaultfd"), 0)
flat("kernel/userfaultfd", "userfaultfd_user_mode_only", NR.get("userfaultfd"), 1)
flat("kernel/keyctl", "keyctl_session", NR.get("keyctl"), 0, -3, 1)
flat("kernel/keyctl", "keyctl_search", NR.get("keyctl"), 10, -5, b"user", b"x", 0)
flat("kernel/keyctl", "add_key", NR.get("add_key"), b"user", b"hutch", b"x", 1, -4)
flat("kernel/keyctl", "request_key", NR.get("request_key"), b"user", b"hutch", None, -4)
flat("kernel/open-by-handle-at", "open_by_handle_at", NR.get("open_by_handle_at"), -100, _params, 0)
flat(
    "kernel/open-by-handle-at",
    "name_to_handle_at",
    NR.get("name_to_handle_at"),
    -100,
    b"/usr",
    _params,
    _params,
    0,
)
flat("kernel/open-by-handle-at", "fanotify_init", NR.get("fanotify_init"), 0, 0)
flat("kernel/module-loading", "init_module", NR.get("init_module"), _params, 10, b"")
flat("kernel/module-loading", "finit_module", NR.get("finit_module"), 0, b"", 0)
flat("kernel/module-loading", "delete_module", NR.get("delete_module"), b"hutch-none", 0)
flat("kernel/module-loading", "kexec_load", NR.get("kexec_load"), 0, 0, None, 0)
flat("kernel/module-loading", "kexec_file_load", NR.get("kexec_file_load"), 0, 0, 0, b"", 0)
for _name, _arguments in {
    "reboot": (0, 0, 0), "swapon": (b"/tmp", 0), "swapoff": (b"/tmp",), "acct": (None,),
    "settimeofday": (None, None), "clock_settime": (0, None), "sethostname": (None, -1),
    "setdomainname": (None, -1), "syslog": (3, _params, 10), "vhangup": (), "iopl": (3,),
    "ioperm": (0x70, 2, 1),
    "quotactl": (0x80000700, None, 0, _params), "quotactl_fd": (0, 0x80000700, 0, _params),
    "uselib": (b"/x",),
    "modify_ldt": (1, _params, 16), "migrate_pages": (1, 8, _params, _params),
    "move_pages": (1, 0, None, None, None, 0),
    "lookup_dcookie": (0, _params, 10), "personality_read_implies_exec": (0x0400000,),
    "personality_no_random": (0x0040000,), "sysfs": (3,), "ustat": (0, _params),
}.items():  # fmt: skip
    flat(
        "kernel/administration", _name, NR.get(_name.partition("_read")[0].partition("_no_")[0]), *_arguments
    )


@attack("kernel/io-uring")
def io_uring_by_x32() -> NoReturn:
    denied(NR["io_uring_setup"] | _X32, 8, _params)


@allowed("kernel/io-uring")
def epoll_works() -> None:
    with select.epoll() as epoll:
        epoll.poll(0)


@allowed("kernel/userfaultfd")
@allowed("kernel/bpf")
@allowed("kernel/perf-event-open")
def shared_memory_and_clocks_work() -> None:
    with mmap.mmap(-1, 1 << 20) as memory:
        memory.write(b"x")
    assert time.clock_gettime(time.CLOCK_MONOTONIC) > 0


@attack("kernel/userfaultfd")
def userfaultfd_device() -> None:
    os.open("/dev/userfaultfd", os.O_RDWR)


@attack("kernel/bpf")
def pinned_bpf_objects() -> None:
    os.listdir("/sys/fs/bpf")


@allowed("kernel/keyctl")
@allowed("kernel/module-loading")
@allowed("kernel/open-by-handle-at")
def libraries_load() -> None:
    assert ctypes.CDLL("libm.so.6").abs(-3) == 3


@allowed("kernel/administration")
def questions_about_the_system_are_answered() -> None:
    assert os.uname().nodename
    assert os.sysconf("SC_NPROCESSORS_ONLN") >= 1
    try:
        syscall(NR["personality"], 0xFFFFFFFF)
    except OSError as error:
        if error.errno != errno.EINVAL:  # gVisor's answer: there are none to ask for
            raise


@attack("kernel/administration")
def personality_with_a_high_bit() -> None:
    before = syscall(NR["personality"], 0xFFFFFFFF)
    syscall(NR["personality"], _HIGH | 0x0040000)
    if syscall(NR["personality"], 0xFFFFFFFF) == before:
        raise Contained("asked, and unchanged")
