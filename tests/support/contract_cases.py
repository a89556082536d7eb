"""The cases of the contract: every attack that Hutch is held against, by group, and what is to be seen.

A case is shown by tries of an attack program (tests/contract/attacks) or by a test that says `@shows(key)`.
A case that nothing here can attack yet is *not applicable*, with its reason; nothing is left unknown.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeVar

Outcome = Literal["held", "refused", "not applicable"]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Case:
    """`key` is group/name; `program` names the attack program that shows it, if one does.

    `outcome` is what is to be seen: the attack is *held* and the rest goes on, or the request is *refused*.
    """

    key: str
    title: str
    program: str = ""
    outcome: Outcome = "held"
    not_applicable: str = ""  # why, where that is the same for every method

    @property
    def group(self) -> str:
        return self.key.partition("/")[0]


GROUPS = {
    "files": "Files",
    "kernel": "Kernel",
    "host": "Host services",
    "network": "Network",
    "secrets": "Secrets",
    "volumes": "Volumes",
    "daemon": "The daemon",
    "life": "Life cycle",
}

_READ_ONLY = "a workspace is mounted read-only; writable ones come with their protected paths"
_BY_NAME = "doors lead to whole destinations; rules by name and path come with the allow-list proxy"
_NO_PROXY = "credentials are not yet added outside the sandbox"

CASES: tuple[Case, ...] = (
    Case("files/read-out", "Read a file outside all grants by any spelling of its path", "files"),
    Case("files/write-out", "Write outside all grants, or change the system's own files", "files"),
    Case("files/symlink-out", "A symbolic link to the outside in a volume or a workspace", "files"),
    Case("files/hard-link-before", "Write through a hard link to the outside made before the start", "files"),
    Case("files/hard-link-inside", "A hard link or a rename across mounts", "files"),
    Case("files/mounts", "mount, umount, pivot_root, chroot and the new mount calls", "mounts"),
    Case("files/proc-links", "/proc/*/root, cwd, fd, exe, maps; inherited descriptors", "mounts"),
    Case("files/api-paths", "`..`, NUL and absolute paths in anything that takes a path", outcome="refused"),
    Case("files/mknod", "Device nodes: made, or met in a workspace", "mounts"),
    Case("files/fifo", "A FIFO in a volume never blocks its commit or a reader"),
    Case("files/guest", "What was put in for the agent or a kept sandbox is read-only"),
    Case(
        "files/kernel-settings",
        "sysctl, core_pattern, sysrq, cgroup release_agent, uevent_helper",
        "settings",
    ),
    Case("files/setuid-bits", "setuid bits and security attributes set inside", "mounts"),
    Case("files/setuid-outside", "No setuid bit or such attribute on the host, nor in a read-only check-out"),
    Case("files/private-folders", "/tmp, /dev/shm and /var/tmp are the sandbox's own", "settings"),
    Case("files/between-sandboxes", "Two sandboxes see no file and no process of each other"),
    Case("files/protected-paths", "Editor, agent and git configuration in a workspace", "settings"),
    Case("files/no-stubs", "Nothing is left in a workspace after a run"),
    Case("files/working-folder", "A working folder or workspace outside the grants", outcome="refused"),
    Case("files/no-sandbox", "Asking for no sandbox", outcome="refused"),
    Case("files/git", "git works beside protected paths of a writable workspace", not_applicable=_READ_ONLY),
    Case("kernel/io-uring", "io_uring", "kernel"),
    Case("kernel/ptrace", "ptrace, process_vm_readv, /proc/1/mem, pidfd_getfd, kcmp", "processes"),
    Case("kernel/tiocsti", "TIOCSTI, and the host's terminals", "terminals"),
    Case("kernel/af-packet", "AF_PACKET and raw sockets", "terminals"),
    Case("kernel/af-alg", "AF_ALG", "terminals"),
    Case("kernel/af-vsock", "AF_VSOCK", "terminals"),
    Case(
        "kernel/other-families",
        "Every other family of sockets, every netlink protocol but routing",
        "terminals",
    ),
    Case("kernel/nested-namespaces", "A nested namespace of any kind, and a mount in it", "namespaces"),
    Case("kernel/bpf", "bpf", "kernel"),
    Case("kernel/perf-event-open", "perf_event_open", "kernel"),
    Case("kernel/userfaultfd", "userfaultfd", "kernel"),
    Case("kernel/keyctl", "keyctl, add_key, request_key", "kernel"),
    Case("kernel/open-by-handle-at", "open_by_handle_at, name_to_handle_at, fanotify", "kernel"),
    Case("kernel/module-loading", "Modules and kexec", "kernel"),
    Case(
        "kernel/administration",
        "reboot, swapon, clocks, host name, kernel log, I/O ports, personality",
        "kernel",
    ),
    Case("kernel/other-abi", "The 32-bit gate, x32 numbers, numbers newer than the filter", "namespaces"),
    Case("kernel/setuid-programs", "setuid programs", "processes"),
    Case("kernel/raise-limits", "Raising a limit or a priority", "processes"),
    Case("kernel/host-processes", "The host's processes, command lines and environments", "processes"),
    Case("kernel/fork-bomb", "A fork bomb: the limit holds and the daemon lives"),
    Case("kernel/memory", "A memory balloon, by one process, many, or a tmpfs: only that run dies"),
    Case("kernel/cpu", "Spinning processes do not starve the daemon"),
    Case("kernel/kill-all", "kill(-1) reaches only its own"),
    Case("kernel/disk", "Filling /tmp, /dev/shm and the home folder"),
    Case("host/container-engines", "Docker, podman, containerd sockets", "host_services"),
    Case("host/d-bus", "D-Bus, systemd, the journal", "host_services"),
    Case("host/desktops", "X11 and Wayland", "host_services"),
    Case("host/abstract-sockets", "Abstract unix sockets of the host", "host_services"),
    Case("host/path-sockets", "A listening socket or FIFO in a granted folder", "host_services"),
    Case("host/terminals-and-editors", "tmux, screen and editor sockets", "host_services"),
    Case("host/ssh-agent", "ssh-agent, key files", "host_services"),
    Case("host/shared-memory", "System V and POSIX shared memory, semaphores, queues", "host_services"),
    Case("network/no-route", "No rule: no route, no interface, no proxy", "network"),
    Case("network/udp-and-icmp", "UDP, QUIC, ICMP, multicast", "network"),
    Case("network/dns", "DNS to anyone", "network"),
    Case("network/metadata", "Cloud metadata addresses", "network"),
    Case("network/literals", "Odd spellings of an address", "network"),
    Case("network/host-loopback", "The host's loopback, the daemon's port included", "network"),
    Case("network/only-granted", "A granted destination works and nothing beside it"),
    Case(
        "network/names",
        "Names with odd characters, redirects, SNI, request smuggling",
        not_applicable=_BY_NAME,
    ),
    Case("secrets/planted", "A secret of the daemon's environment is found nowhere inside", "network"),
    Case("secrets/at-rest", "Nor in its log, database, answers, store, or any command line of the host"),
    Case("secrets/loader-variables", "LD_PRELOAD and its like never reach what runs on the host"),
    Case("secrets/placeholders", "Placeholders for credentials", not_applicable=_NO_PROXY),
    Case("volumes/links", "A link in a volume is stored as one and never followed"),
    Case("volumes/odd-files", "FIFOs, sockets and odd names in a volume"),
    Case("volumes/sparse", "A sparse file of 1 TiB: kept or refused, at no cost of memory"),
    Case("volumes/same-size-edit", "An edit of the same size with its time set back"),
    Case("volumes/names", "Volume names that leave the store, are empty, or far too long", outcome="refused"),
    Case("volumes/read-only", "A read-only volume refuses writes"),
    Case(
        "volumes/stored-names",
        "write_volume to names that cannot be stored",
        outcome="refused",
    ),
    Case("volumes/held", "A volume that is being written"),
    Case("volumes/kill", "kill -9 of the daemon while a volume is written"),
    Case("daemon/token", "No token, a wrong token; the token's file", outcome="refused"),
    Case(
        "daemon/host-and-origin",
        "A foreign Host or Origin, Origin null, a simple cross-site POST",
        outcome="refused",
    ),
    Case("daemon/peer", "Another local user on the unix socket", outcome="refused"),
    Case("daemon/non-loopback", "Binding anything but loopback without the explicit key", outcome="refused"),
    Case("daemon/read-volume", "read_volume with `..` or through a link"),
    Case("daemon/hostile-json", "Oversized and deeply nested JSON", outcome="refused"),
    Case("daemon/many-calls", "A thousand calls at once, and stalled clients"),
    Case("daemon/output", "Terminal escapes and forged log lines in output"),
    Case("daemon/flood", "Endless output, with and without line ends"),
    Case("daemon/arguments", "Arguments that begin with `-`, shell metacharacters, `{command}`"),
    Case("daemon/widen", "No call can widen the policy", outcome="refused"),
    Case(
        "daemon/principals",
        "Another principal's run, session, volume; a forged, expired or revoked token",
        outcome="refused",
    ),
    Case("life/daemonised", "A double-forked daemon is gone when its run or session ends"),
    Case("life/pipes", "A descendant that holds the pipes, a command that closes them"),
    Case("life/sigterm", "A process that ignores SIGTERM, or stops itself, is killed within the grace"),
    Case("life/pid-1", "Killing the sandbox's own pid 1, vfork, stopped processes"),
    Case(
        "life/kept-guest",
        "A kept sandbox's guest: killed, stopped, signalled, its descriptors opened",
    ),
    Case(
        "life/kill-daemon",
        "kill -9 of the daemon: no process, mount, control group, lease or folder is left",
    ),
    Case("life/stop-daemon", "SIGTERM to the daemon while hostile code runs"),
    Case("life/disk-full", "A full disk: a clean error, the database intact"),
    Case(
        "life/missing-method",
        "A method or a guarantee that is missing: nothing is executed",
        outcome="refused",
    ),
    Case("life/audit", "An altered audit log", not_applicable="there is no audit log yet"),
)
# What does not hold yet, and where: the table says so, and the case fails as soon as it does hold.
OPEN: dict[tuple[str, str], str] = {}

BY_KEY = {case.key: case for case in CASES}


def programs() -> dict[str, tuple[Case, ...]]:
    """Return every attack program with the cases that it shows."""
    names = dict.fromkeys(case.program for case in CASES if case.program)
    return {name: tuple(case for case in CASES if case.program == name) for name in names}


def shows(key: str) -> Callable[[T], T]:
    """Mark a test function as showing a case; several tests may show one."""
    if key not in BY_KEY:
        raise LookupError(f"no case is called {key!r}")

    def mark(test: T) -> T:
        shown = (*getattr(test, "shown_cases", ()), key)
        setattr(test, "shown_cases", shown)  # noqa: B010 - a function has no such attribute by its type
        return test

    return mark
