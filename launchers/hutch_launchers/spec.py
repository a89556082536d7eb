"""The complete desired state of one sandbox, as plain frozen data."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path, PurePosixPath


class Guarantee(StrEnum):
    """What a method promises and a probe has shown on this host."""

    FILESYSTEM = "filesystem"  # nothing outside the mounts is read or changed
    NETWORK = "network"  # no packet leaves but through the egress endpoint
    PROCESSES = "processes"  # sees and signals only its own; nothing outlives it
    MEMORY = "memory"  # the memory limit holds for the whole sandbox
    CPU = "cpu"  # the CPU limit holds for the whole sandbox
    PIDS = "pids"  # a fork bomb stays inside its limit
    DISK = "disk"  # private folders cannot fill the host's disk
    SYSCALLS = "syscalls"  # a filter refuses the kernel's risky calls, nested namespaces among them
    KERNEL = "kernel"  # a kernel of its own


class Ability(StrEnum):
    """What a method can do for us besides; a spec uses some of them."""

    KEEP = "keep"  # a sandbox that stays and takes further commands
    DOORS = "doors"  # listeners inside for granted destinations
    NESTED = "nested"  # a read-only mount inside a writable one
    OVERLAY = "overlay"  # a mount whose writes land in a folder of their own
    IMAGE = "image"  # a root made of an image
    FREEZE = "freeze"  # all of it held still for a moment, and suspended


@dataclass(frozen=True, slots=True)
class Mount:
    """A host file or folder at a path inside. The source must exist; it is never followed as a link.

    With `identity`, a device and an inode, it must be the file that has them, whatever is at its path by now.
    With `upper`, a folder of the host that is empty at first, it is writable and yet stays as it is: what is
    written lands in `upper`, in the form of overlayfs. `work` is an empty folder on the same filesystem.
    """

    source: Path
    target: PurePosixPath
    writable: bool = False
    upper: Path | None = None
    work: Path | None = None
    identity: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """Upper bounds of one sandbox; None: not limited by us."""

    wall_s: float
    memory_bytes: int | None = None
    pids: int | None = None
    cpus: float | None = None
    disk_bytes: int | None = None  # of /tmp, /dev/shm and home together, not of mounts
    open_files: int | None = 4096
    output_bytes: int | None = None  # of both streams together; whoever reads them ends the command


@dataclass(frozen=True, slots=True)
class Door:
    """One granted destination: inside, `name` resolves to `address` and a listener waits at its port."""

    name: str  # host name as the program inside knows it; an IP literal stands for itself
    address: str  # loopback address inside, 127.0.0.0/8
    port: int  # 1-65535


@dataclass(frozen=True, slots=True)
class Listener:
    """A socket to be made inside: TCP that listens, or UDP."""

    address: str  # loopback address inside, 127.0.0.0/8; or `EVERY_ADDRESS`
    port: int  # 1-65535
    is_udp: bool = False


EVERY_ADDRESS = "0.0.0.0"  # noqa: S104 - of a sandbox that has none but its own loopback


@dataclass(frozen=True, slots=True)
class EgressEndpoint:
    """The only way out of a sandbox.

    The launcher makes the sockets of `made` *inside* the sandbox's network namespace and sends each, by
    SCM_RIGHTS with its index as 4 bytes big-endian, over one connection to the host unix socket `socket`;
    the egress answers one byte when it serves them all. Only then may the command start.
    """

    socket: Path
    doors: tuple[Door, ...]
    listeners: tuple[Listener, ...] = ()  # empty: one at each door
    resolver: str = ""  # the address of a name server inside; empty: /etc/hosts knows all names

    @property
    def made(self) -> tuple[Listener, ...]:
        return self.listeners or tuple(Listener(door.address, door.port) for door in self.doors)


@dataclass(frozen=True, slots=True)
class Command:
    """One process to start inside a sandbox."""

    argv: tuple[str, ...]  # never a shell string
    cwd: PurePosixPath
    # The whole environment, nothing inherited; it may hold secrets
    env: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class SandboxSpec:
    """Two equal specs start the same sandbox.

    `command` is None for a kept sandbox, whose commands come later.
    """

    run_id: str  # names it on the host, for `reap`
    command: Command | None
    mounts: tuple[Mount, ...]  # later mounts cover earlier ones
    limits: Limits
    egress: EgressEndpoint | None  # None: no network at all
    needs: frozenset[Guarantee]  # a launcher that cannot give one refuses
    image: str | None = None  # None: the host's own programs

    @property
    def uses(self) -> frozenset[Ability]:
        """The abilities without which it cannot be started as it stands."""
        used = {
            Ability.KEEP: self.command is None,
            Ability.DOORS: self.egress is not None and bool(self.egress.made),
            Ability.NESTED: any(_is_nested(mount, self.mounts[:n]) for n, mount in enumerate(self.mounts)),
            Ability.OVERLAY: any(mount.upper for mount in self.mounts),
            Ability.IMAGE: self.image is not None,
        }
        return frozenset(ability for ability, is_used in used.items() if is_used)


def _is_nested(mount: Mount, earlier: tuple[Mount, ...]) -> bool:
    """Whether it shows, within another, something else than that does, or lets less be done there."""
    return not mount.writable and any(
        mount.target.is_relative_to(above.target)
        and (
            above.writable
            or above.upper
            or mount.source != above.source / mount.target.relative_to(above.target)
        )
        for above in earlier
    )


@dataclass(frozen=True, slots=True)
class ExitStatus:
    """How a process ended: exactly one of `code` and `signal` is set.

    A method whose front process reports a signal as 128+n gives that code: it cannot know better.
    """

    code: int | None
    signal: int | None
    limit: Guarantee | None = None  # the limit that ended it, where the mechanism can tell
