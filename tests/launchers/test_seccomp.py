import errno
import json
import os
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hutch_launchers.seccomp import ALLOW, ERRNO, KILL, REFUSALS, seccomp_filter
from hutch_launchers.syscalls import MACHINES
from support.launcher_bpf import run_filter
from support.launcher_methods import LAUNCHERS, code, python, run, spec

EPERM, ENOSYS, FAMILY = ERRNO | errno.EPERM, ERRNO | errno.ENOSYS, ERRNO | errno.EAFNOSUPPORT
HIGH = 1 << 32  # beside a value that the kernel cuts to 32 bits
machines = pytest.mark.parametrize("machine", list(MACHINES))


def answer(machine: str, call: str | int, *args: int) -> int:
    known = MACHINES[machine]
    program = seccomp_filter(machine)
    assert program is not None
    number = known.numbers[call] if isinstance(call, str) else call
    return run_filter(program, known.audit_arch, number, *args)


@machines
def test_every_refusal_without_conditions_is_refused_whatever_its_arguments(machine: str) -> None:
    calls = [name for name in MACHINES[machine].numbers if name in REFUSALS and not REFUSALS[name].clauses]
    assert len(calls) > 40
    for name in calls:
        assert answer(machine, name, 1, 2, 3) == ERRNO | REFUSALS[name].error, name


@machines
@pytest.mark.parametrize(
    ("call", "args", "expected"),
    [
        ("clone", (0x11,), ALLOW),  # SIGCHLD: a fork
        ("clone", (0x3D0F00,), ALLOW),  # a thread
        ("clone", (0x91,), ALLOW),  # an exit signal is no CLONE_NEWTIME
        *(("clone", (1 << bit | 0x11,), EPERM) for bit in (17, 25, 26, 27, 28, 29, 30)),
        ("clone", (HIGH | 0x10000000,), EPERM),
        ("clone3", (0, 0), ENOSYS),
        ("unshare", (0x400,), ALLOW),  # CLONE_FILES
        ("unshare", (0x80,), EPERM),  # CLONE_NEWTIME
        ("unshare", (0x10000000,), EPERM),
        ("ioctl", (0, 0x5401), ALLOW),  # TCGETS
        ("ioctl", (0, 0x5412), EPERM),
        ("ioctl", (0, HIGH | 0x5412), EPERM),
        ("ioctl", (0, 0x541C), EPERM),
        ("socket", (1, 1, 0), ALLOW),
        ("socket", (2, 1, 6), ALLOW),
        ("socket", (10, 2, 0), ALLOW),
        ("socket", (16, 3, 0), ALLOW),
        ("socket", (16, 3, 12), FAMILY),  # NETLINK_NETFILTER
        ("socket", (HIGH | 38, 5, 0), FAMILY),
        *(("socket", (family, 1, 0), FAMILY) for family in (0, 3, 17, 29, 31, 38, 40, 44, 255)),
        ("personality", (0xFFFFFFFF,), ALLOW),
        ("personality", (0,), ALLOW),
        ("personality", (0x40000,), EPERM),
        ("openat", (0, 0, 0o100, 0o644), ALLOW),
        ("openat", (0, 0, 0o100, 0o4755), EPERM),
        ("openat", (0, 0, 0, 0o4755), ALLOW),  # not created: the mode is whatever was in the register
        ("openat", (0, 0, 0o20200000, 0o4755), EPERM),  # O_TMPFILE
        ("fchmodat", (0, 0, 0o755), ALLOW),
        ("fchmodat", (0, 0, 0o4755), EPERM),
        ("fchmod", (0, 0o6755), EPERM),
        ("fchmodat2", (0, 0, 0o4755), EPERM),
        ("openat2", (0, 0, 0, 0), ENOSYS),
        ("mknodat", (0, 0, 0o010644), ALLOW),  # a FIFO
        ("mknodat", (0, 0, 0o020644), EPERM),
        ("mknodat", (0, 0, 0o060644), EPERM),
    ],
)
def test_arguments_decide(machine: str, call: str, args: tuple[int, ...], expected: int) -> None:
    assert answer(machine, call, *args) == expected


@machines
def test_what_is_newer_than_the_list_does_not_exist(machine: str) -> None:
    newest = MACHINES[machine].newest
    for number in (newest + 1, newest + 2, 1000, 0x40000000, 0x40000000 | 59, 0xFFFFFFFF):
        assert answer(machine, number) == ENOSYS
    assert answer(machine, newest) == ALLOW


@machines
def test_calls_of_another_architecture_end_the_process(machine: str) -> None:
    program = seccomp_filter(machine)
    assert program is not None
    for arch in (0x40000003, 0x40000028, 0):  # i386, arm
        assert run_filter(program, arch, 1) == KILL


@machines
@given(number=st.integers(0, 2**32 - 1), args=st.lists(st.integers(0, 2**64 - 1), min_size=6, max_size=6))
def test_only_what_is_named_is_refused(machine: str, number: int, args: list[int]) -> None:
    names = {n: name for name, n in MACHINES[machine].numbers.items()}
    got = answer(machine, number, *args)
    if number > MACHINES[machine].newest:
        assert got == ENOSYS
    elif names.get(number) not in REFUSALS:
        assert got == ALLOW


def test_pinning_adds_one_refusal() -> None:
    known = MACHINES["x86_64"]
    number = known.numbers["sched_setaffinity"]
    pinned = seccomp_filter("x86_64", pins_cpus=True)
    assert pinned is not None
    assert (answer("x86_64", number), run_filter(pinned, known.audit_arch, number)) == (ALLOW, EPERM)


def test_an_unknown_machine_has_no_filter() -> None:
    assert seccomp_filter("vax") is None


def test_numbers_are_those_of_the_headers_where_the_host_has_them() -> None:
    header = Path(f"/usr/include/{os.uname().machine}-linux-gnu/asm/unistd_64.h")
    if not header.exists():
        pytest.skip("the host has no kernel headers")
    defined = dict(re.findall(r"#define __NR_(\w+) (\d+)", header.read_text(encoding="ascii")))
    for name, number in MACHINES[os.uname().machine].numbers.items():
        assert int(defined.get(name, number)) == number, name


TRY = """
import ctypes, json, os, sys
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
out = {}
for name, number, args in json.loads(sys.argv[1]):
    ctypes.set_errno(0)
    result = libc.syscall(ctypes.c_long(number), *map(ctypes.c_ulong, args))
    out[name] = ctypes.get_errno() if result == -1 else 0
json.dump(out, sys.stdout)
"""


async def test_a_real_sandbox_answers_as_the_program_says() -> None:
    known = MACHINES[os.uname().machine]
    tried = {
        "io_uring_setup": (1, 0), "ptrace": (0, 0, 0, 0), "process_vm_readv": (1, 0, 0, 0, 0, 0),
        "bpf": (0, 0, 0), "perf_event_open": (0, 0, 0, 0, 0), "userfaultfd": (1,), "keyctl": (0, 0, 0),
        "add_key": (0, 0, 0, 0, 0), "unshare": (0x10000000,), "clone3": (0, 0), "mount": (0, 0, 0, 0, 0),
        "fsopen": (0, 0), "setns": (0, 0), "ioctl": (0, HIGH | 0x5412, 0), "socket": (40, 1, 0),
        "open_by_handle_at": (0, 0, 0), "kexec_load": (0, 0, 0, 0), "chroot": (0,), "pivot_root": (0, 0),
        "open_tree": (0, 0, 0),
    }  # fmt: skip
    cases = [(name, known.numbers[name], args) for name, args in tried.items()]
    done = await run(LAUNCHERS["bubblewrap"], spec(python(TRY, json.dumps(cases))))
    assert done.status == code(0), done.err
    assert json.loads(done.out) == {name: REFUSALS[name].error for name in tried}


async def test_ordinary_programs_still_fork_and_make_threads() -> None:
    source = """
import threading, subprocess
thread = threading.Thread(target=subprocess.check_call, args=(["/bin/echo", "ran"],))
thread.start()
thread.join()
"""
    done = await run(LAUNCHERS["bubblewrap"], spec(python(source)))
    assert (done.status, done.out) == (code(0), b"ran\n")
