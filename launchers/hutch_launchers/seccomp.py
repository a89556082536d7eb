"""The system call filter of a sandbox: what it refuses, as a program for the kernel.

A list of refusals with an upper end: a call newer than the list answers ENOSYS, as an older kernel would, and
programs fall back. Arguments are compared by their low 32 bits where the kernel looks at no more; a high bit
set beside a forbidden value is the known way around a 64-bit comparison.
"""

import errno
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache

from hutch_launchers.bpf import (
    AND,
    JUMP,
    JUMP_AT_LEAST,
    JUMP_EQUAL,
    LOAD_WORD,
    RETURN,
    Item,
    Label,
    Op,
    assemble,
)
from hutch_launchers.syscalls import MACHINES, Machine

ALLOW = 0x7FFF0000  # SECCOMP_RET_ALLOW
ERRNO = 0x00050000  # SECCOMP_RET_ERRNO, the number in its low 16 bits
ASK = 0x7FC00000  # SECCOMP_RET_USER_NOTIF
KILL = 0x80000000  # SECCOMP_RET_KILL_PROCESS

_NR, _ARCH, _ARGS = 0, 4, 16  # offsets in struct seccomp_data


@dataclass(frozen=True, slots=True)
class Test:
    """True if the low 32 bits of an argument, cut by `mask`, are `value` (or are not)."""

    arg: int
    value: int
    mask: int = 0xFFFFFFFF
    equal: bool = True


Clause = tuple[Test, ...]  # all of them


@dataclass(frozen=True, slots=True)
class Refusal:
    """The answer of a refused call. No clauses: always; else when all tests of any clause are true.

    With `asks` what is not refused so is asked of the listener, and refused with ENOSYS where there is none.
    """

    error: int
    clauses: tuple[Clause, ...] = ()
    asks: bool = False


_EPERM = Refusal(errno.EPERM)
_ENOSYS = Refusal(errno.ENOSYS)  # where libraries are known to fall back, as on an older kernel

_NEW_NAMESPACE = 0x7E020080  # CLONE_NEW{TIME,NS,CGROUP,UTS,IPC,USER,PID,NET}
_NEW_NAMESPACE_BY_CLONE = 0x7E020000  # without NEWTIME: clone(2) has the exit signal in those bits
_SETUID_BIT = 0o4000
_CREATES = 0o100 | 0o20000000  # O_CREAT, __O_TMPFILE: only then an open's mode means anything
_FORMAT, _CHARACTER, _BLOCK = 0o170000, 0o020000, 0o060000
_AF_UNIX, _AF_INET, _AF_INET6, _AF_NETLINK = 1, 2, 10, 16
_SOCK_STREAM, _SOCK_SEQPACKET, _SOCKET_KIND, _TCP = 1, 5, 0xF, 6
_TIOCSTI, _TIOCLINUX, _TIOCSETD = 0x5412, 0x541C, 0x5423
_PERSONALITIES = (0, 8, 0x20000, 0x20008, 0xFFFFFFFF)  # plain, 32 bit, either with UNAME26, "only ask"


def _any_bit(arg: int, bits: int) -> Test:
    return Test(arg, 0, bits, equal=False)


def _setuid_mode(arg: int) -> Refusal:
    return Refusal(errno.EPERM, ((_any_bit(arg, _SETUID_BIT),),))


def _setuid_open(flags: int) -> Refusal:
    return Refusal(errno.EPERM, ((_any_bit(flags, _CREATES), _any_bit(flags + 1, _SETUID_BIT)),))


def _device(mode: int) -> Refusal:
    made = (Test(mode, _CHARACTER, _FORMAT), Test(mode, _BLOCK, _FORMAT), _any_bit(mode, _SETUID_BIT))
    return Refusal(errno.EPERM, tuple((test,) for test in made))


# io_uring is a queue of calls that no filter sees; files by handle pass by the mount tree
_REFUSED = """
    io_uring_enter io_uring_register
    ptrace process_vm_readv process_vm_writev process_madvise pidfd_getfd kcmp
    bpf perf_event_open userfaultfd keyctl add_key request_key
    open_by_handle_at name_to_handle_at fanotify_init
    init_module finit_module delete_module create_module get_kernel_syms query_module
    kexec_load kexec_file_load reboot swapon swapoff acct quotactl quotactl_fd syslog
    mount umount2 pivot_root chroot move_mount open_tree open_tree_attr fsopen fsconfig fsmount fspick
    mount_setattr setns settimeofday clock_settime sethostname setdomainname vhangup
    nfsservctl lookup_dcookie uselib ustat sysfs _sysctl vserver iopl ioperm modify_ldt
    migrate_pages move_pages
"""

REFUSALS: Mapping[str, Refusal] = {
    **dict.fromkeys(_REFUSED.split(), _EPERM),
    "io_uring_setup": _ENOSYS,
    "clone3": _ENOSYS,  # its flags are behind a pointer; libraries then use clone
    "openat2": _ENOSYS,  # its mode too
    "statmount": _ENOSYS,
    "listmount": _ENOSYS,
    "clone": Refusal(errno.EPERM, ((_any_bit(0, _NEW_NAMESPACE_BY_CLONE),),)),
    "unshare": Refusal(errno.EPERM, ((_any_bit(0, _NEW_NAMESPACE),),)),
    "ioctl": Refusal(errno.EPERM, tuple((Test(1, v),) for v in (_TIOCSTI, _TIOCLINUX, _TIOCSETD))),
    "socket": Refusal(
        errno.EAFNOSUPPORT,
        (
            tuple(Test(0, f, equal=False) for f in (_AF_UNIX, _AF_INET, _AF_INET6, _AF_NETLINK)),
            (Test(0, _AF_NETLINK), Test(2, 0, equal=False)),  # NETLINK_ROUTE alone: getifaddrs(3)
        ),
    ),
    "personality": Refusal(errno.EPERM, (tuple(Test(0, v, equal=False) for v in _PERSONALITIES),)),
    "mknod": _device(1),
    "mknodat": _device(2),
    # a file with the setuid bit, made in a bound folder, would act outside, where the mount is not nosuid
    "chmod": _setuid_mode(1),
    "fchmod": _setuid_mode(1),
    "fchmodat": _setuid_mode(2),
    "fchmodat2": _setuid_mode(2),
    "creat": _setuid_mode(1),
    "open": _setuid_open(1),
    "openat": _setuid_open(2),
}


def _other(arg: int) -> Refusal:
    return Refusal(errno.EPERM, ((Test(arg, 0, equal=False),),))


# Beside REFUSALS, for what lives in the host's own network, IPC and PID namespaces. A socket of a pair is
# nobody else's, unless it takes datagrams: such a one can be connected anew.
_SHARED = "shmget shmat shmctl semget semop semctl semtimedop msgget msgsnd msgrcv msgctl mq_open mq_unlink"
_EXTENDED = """
    setxattr lsetxattr fsetxattr removexattr lremovexattr fremovexattr setxattrat removexattrat file_setattr
"""
_SET_FLAGS = (0x40086602, 0x401C5820, 0x40087602)  # FS_IOC_SETFLAGS, FS_IOC_FSSETXATTR, FS_IOC_SETVERSION
_LONELY: Mapping[str, Refusal] = {
    **dict.fromkeys(_SHARED.split(), _ENOSYS),
    "socket": Refusal(errno.EAFNOSUPPORT),
    "socketpair": Refusal(
        errno.EAFNOSUPPORT,
        (
            (Test(0, _AF_UNIX, equal=False),),
            tuple(Test(1, kind, _SOCKET_KIND, equal=False) for kind in (_SOCK_STREAM, _SOCK_SEQPACKET)),
        ),
    ),
    **dict.fromkeys(("prlimit64", "sched_setaffinity", "sched_setscheduler", "sched_setparam"), _other(0)),
    "sched_setattr": _other(0),
    **dict.fromkeys(("setpriority", "ioprio_set"), _other(1)),
}
# Beside _LONELY, for what may reach its doors in the host's own network: TCP alone (MPTCP is another protocol
# and passes Landlock by), and nothing that listens
_CLIENT: Mapping[str, Refusal] = {
    "socket": Refusal(
        errno.EAFNOSUPPORT,
        (
            tuple(Test(0, family, equal=False) for family in (_AF_INET, _AF_INET6)),
            (Test(1, _SOCK_STREAM, _SOCKET_KIND, equal=False),),
            tuple(Test(2, protocol, equal=False) for protocol in (0, _TCP)),
        ),
    ),
    **dict.fromkeys(("bind", "listen"), _EPERM),
}
# What belongs to a file by its path, which Landlock does not rule; `file_attributes` answers
_ATTRIBUTES: Mapping[str, Refusal] = {
    **dict.fromkeys(("chmod", "fchmod"), replace(_setuid_mode(1), asks=True)),
    **dict.fromkeys(("fchmodat", "fchmodat2"), replace(_setuid_mode(2), asks=True)),
    **dict.fromkeys(["chown", "fchown", "lchown", "fchownat", "utimensat"], Refusal(errno.EPERM, asks=True)),
    **dict.fromkeys(("utime", "utimes", "futimesat"), _ENOSYS),
    **dict.fromkeys(_EXTENDED.split(), Refusal(errno.EOPNOTSUPP)),
    "ioctl": Refusal(errno.EPERM, (*REFUSALS["ioctl"].clauses, *((Test(1, call),) for call in _SET_FLAGS))),
}


@cache
def seccomp_filter(
    machine: str = "",
    *,
    pins_cpus: bool = False,
    is_lonely: bool = False,
    is_client: bool = False,
    asks: bool = False,
) -> bytes | None:
    """The filter for an `os.uname().machine` (default: this one); None: no table for it, so no guarantee.

    With `pins_cpus` a process cannot change the CPUs it may run on, so that they limit it. With `is_lonely`
    it has no socket but pairs, and sets nothing of other processes: no namespaces would see to that. With
    `is_client` besides it has sockets of TCP, to connect.
    With `asks` a listener answers what changes a file's attributes.
    """
    known = MACHINES.get(machine or os.uname().machine)
    if known is None:
        return None
    refusals = refusals_of(known, pins_cpus=pins_cpus, is_lonely=is_lonely, is_client=is_client, asks=asks)
    return assemble(_program(refusals, known))


def refusals_of(
    machine: Machine,
    *,
    pins_cpus: bool = False,
    is_lonely: bool = False,
    is_client: bool = False,
    asks: bool = False,
) -> Mapping[int, Refusal]:
    """What is refused, by the numbers of a machine; as `seccomp_filter` says."""
    chosen = ((_LONELY, is_lonely), (_CLIENT, is_client), (_ATTRIBUTES, asks))
    named = dict(REFUSALS)
    for more in (refusals for refusals, is_chosen in chosen if is_chosen):
        named |= more
    if pins_cpus:
        named["sched_setaffinity"] = _EPERM
    return {number: named[name] for name, number in machine.numbers.items() if name in named}


def _program(refusals: Mapping[int, Refusal], machine: Machine) -> list[Item]:
    native = Label()
    program: list[Item] = [
        Op(LOAD_WORD, _ARCH),
        Op(JUMP_EQUAL, machine.audit_arch, yes=native),
        Op(RETURN, KILL),  # the same numbers mean other calls there
        native,
        Op(LOAD_WORD, _NR),
    ]
    blocks: dict[Refusal, Label] = {}
    program += _search(_segments(refusals, machine.newest), blocks)
    for refusal, label in blocks.items():
        program += [label, *_decide(refusal)]
    return program


def _segments(refusals: Mapping[int, Refusal], newest: int) -> list[tuple[int, Refusal | None]]:
    """The number line as (first number, refusal) in order; None: allowed."""
    segments: list[tuple[int, Refusal | None]] = [(0, None)]
    for number in range(newest + 1):
        refusal = refusals.get(number)
        if segments[-1][1] != refusal:
            segments.append((number, refusal))
    # all that is above, the numbers of the x32 ABI (bit 30) among them
    return [*segments, (newest + 1, _ENOSYS)]


def _search(segments: list[tuple[int, Refusal | None]], blocks: dict[Refusal, Label]) -> list[Item]:
    """A binary search: the kernel runs the filter for every number when it loads it, and for calls after."""
    if len(segments) == 1:
        refusal = segments[0][1]
        if refusal is None:
            return [Op(RETURN, ALLOW)]
        if not refusal.clauses:
            return [Op(RETURN, ASK if refusal.asks else ERRNO | refusal.error)]
        return [Op(JUMP, yes=blocks.setdefault(refusal, Label()))]
    middle = len(segments) // 2
    upper = Label()
    return [
        Op(JUMP_AT_LEAST, segments[middle][0], yes=upper),
        *_search(segments[:middle], blocks),
        upper,
        *_search(segments[middle:], blocks),
    ]


def _decide(refusal: Refusal) -> list[Item]:
    """Look at the arguments: refuse when all tests of any clause are true."""
    items: list[Item] = []
    for clause in refusal.clauses:
        otherwise = Label()
        for test in clause:
            items += [Op(LOAD_WORD, _ARGS + 8 * test.arg), Op(AND, test.mask)]
            false_jump = {"no": otherwise} if test.equal else {"yes": otherwise}
            items.append(Op(JUMP_EQUAL, test.value, **false_jump))
        items += [Op(RETURN, ERRNO | refusal.error), otherwise]
    return [*items, Op(RETURN, ASK if refusal.asks else ALLOW)]
