"""Numbers of the system calls that the filter names, per architecture; what is refused is in `seccomp`.

Sources: arch/x86/entry/syscalls/syscall_64.tbl and include/uapi/asm-generic/unistd.h of Linux 6.17.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Machine:
    """An architecture as seccomp sees it."""

    audit_arch: int  # AUDIT_ARCH_* of linux/audit.h
    numbers: Mapping[str, int]
    newest: int  # calls above this one were not known when the filter was written


_NEWEST = 469  # file_setattr, the same on both: new calls share their number since 424

_SHARED = {
    "io_uring_setup": 425, "io_uring_enter": 426, "io_uring_register": 427, "open_tree": 428,
    "move_mount": 429, "fsopen": 430, "fsconfig": 431, "fsmount": 432, "fspick": 433, "clone3": 435,
    "openat2": 437, "pidfd_getfd": 438, "process_madvise": 440, "mount_setattr": 442, "quotactl_fd": 443,
    "fchmodat2": 452, "statmount": 457, "listmount": 458, "open_tree_attr": 467,
    "setxattrat": 463, "removexattrat": 466, "file_setattr": 469,
}  # fmt: skip

_X86_64 = {
    "open": 2, "ioctl": 16, "socket": 41, "clone": 56, "creat": 85, "chmod": 90, "fchmod": 91, "ptrace": 101,
    "syslog": 103, "mknod": 133, "uselib": 134, "personality": 135, "ustat": 136, "sysfs": 139,
    "vhangup": 153, "modify_ldt": 154, "pivot_root": 155, "_sysctl": 156, "chroot": 161, "acct": 163,
    "settimeofday": 164, "mount": 165, "umount2": 166, "swapon": 167, "swapoff": 168, "reboot": 169,
    "sethostname": 170, "setdomainname": 171, "iopl": 172, "ioperm": 173, "create_module": 174,
    "init_module": 175, "delete_module": 176, "get_kernel_syms": 177, "query_module": 178, "quotactl": 179,
    "nfsservctl": 180, "lookup_dcookie": 212, "clock_settime": 227, "sched_setaffinity": 203, "vserver": 236,
    "kexec_load": 246,
    "add_key": 248, "request_key": 249, "keyctl": 250, "migrate_pages": 256, "openat": 257, "mknodat": 259,
    "fchmodat": 268, "unshare": 272, "move_pages": 279, "perf_event_open": 298, "fanotify_init": 300,
    "name_to_handle_at": 303, "open_by_handle_at": 304, "setns": 308, "process_vm_readv": 310,
    "process_vm_writev": 311, "kcmp": 312, "finit_module": 313, "kexec_file_load": 320, "bpf": 321,
    "userfaultfd": 323,
    "chown": 92, "fchown": 93, "lchown": 94, "utime": 132, "setxattr": 188, "lsetxattr": 189,
    "fsetxattr": 190, "removexattr": 197, "lremovexattr": 198, "fremovexattr": 199, "utimes": 235,
    "fchownat": 260, "futimesat": 261, "utimensat": 280,
    "bind": 49, "listen": 50, "shmget": 29,
    "shmat": 30, "shmctl": 31, "socketpair": 53, "semget": 64, "semop": 65, "semctl": 66,
    "msgget": 68, "msgsnd": 69, "msgrcv": 70, "msgctl": 71, "setpriority": 141, "sched_setparam": 142,
    "sched_setscheduler": 144, "semtimedop": 220, "mq_open": 240, "mq_unlink": 241, "ioprio_set": 251,
    "prlimit64": 302, "sched_setattr": 314,
}  # fmt: skip

_AARCH64 = {
    "lookup_dcookie": 18, "ioctl": 29, "mknodat": 33, "umount2": 39, "mount": 40, "pivot_root": 41,
    "nfsservctl": 42, "chroot": 51, "fchmod": 52, "fchmodat": 53, "openat": 56, "vhangup": 58,
    "quotactl": 60, "acct": 89, "personality": 92, "unshare": 97, "kexec_load": 104, "init_module": 105,
    "delete_module": 106, "clock_settime": 112, "syslog": 116, "ptrace": 117, "sched_setaffinity": 122,
    "reboot": 142,
    "sethostname": 161, "setdomainname": 162, "settimeofday": 170, "socket": 198, "add_key": 217,
    "request_key": 218, "keyctl": 219, "clone": 220, "swapon": 224, "swapoff": 225, "migrate_pages": 238,
    "move_pages": 239, "perf_event_open": 241, "fanotify_init": 262, "name_to_handle_at": 264,
    "open_by_handle_at": 265, "setns": 268, "process_vm_readv": 270, "process_vm_writev": 271, "kcmp": 272,
    "finit_module": 273, "bpf": 280, "userfaultfd": 282, "kexec_file_load": 294,
    "setxattr": 5, "lsetxattr": 6, "fsetxattr": 7, "removexattr": 14, "lremovexattr": 15,
    "fremovexattr": 16, "fchownat": 54, "fchown": 55, "utimensat": 88,
    "ioprio_set": 30, "sched_setparam": 118, "sched_setscheduler": 119, "setpriority": 140, "mq_open": 180,
    "mq_unlink": 181, "msgget": 186, "msgctl": 187, "msgrcv": 188, "msgsnd": 189, "semget": 190,
    "semctl": 191, "semtimedop": 192, "semop": 193, "shmget": 194, "shmctl": 195, "shmat": 196,
    "socketpair": 199, "bind": 200, "listen": 201, "prlimit64": 261, "sched_setattr": 274,
}  # fmt: skip

MACHINES: Mapping[str, Machine] = {  # by `os.uname().machine`
    "x86_64": Machine(0xC000003E, {**_SHARED, **_X86_64}, _NEWEST),
    "aarch64": Machine(0xC00000B7, {**_SHARED, **_AARCH64}, _NEWEST),
}
