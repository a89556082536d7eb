"""From a spec to bubblewrap's flags. Pure: opens nothing, looks at nothing."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

from hutch_launchers.spec import Command, Mount
from hutch_launchers.system_view import GID, HOSTNAME, PRIVATE, UID, SystemView

_NAMESPACES = ("user", "pid", "net", "ipc", "uts", "cgroup")


@dataclass(frozen=True, slots=True)
class Bound:
    """A mount, its source opened."""

    mount: Mount
    source: int | str  # a descriptor, or the path where bwrap does not take descriptors


@dataclass(frozen=True, slots=True)
class Handles:
    """Descriptors that bwrap inherits, by number."""

    files: Mapping[str, int]  # path inside -> a descriptor that yields the file's content
    mounts: tuple["Bound", ...]
    seccomp: int | None
    status: int
    block: int
    sync: int
    hold: int | None = None  # after the mounts, it is read to its end


@dataclass(frozen=True, slots=True)
class Options:
    """What depends on the host and on the method's configuration, not on the spec."""

    view: SystemView
    readable: tuple[str, ...] = ()  # further host paths, each at its own path
    masked: tuple[str, ...] = ()  # files in /proc
    devices: tuple[tuple[str, str], ...] = ()  # (host's node, path inside), in place of root's own
    disable_userns: bool = True


def bwrap_argv(options: Options, handles: Handles, command: Command, disk_bytes: int | None) -> list[str]:
    """All that goes through `--args`: everything but the command, which bwrap takes from its argv alone."""
    return [
        *_isolation(options, handles),
        *_system(options),
        *_private(disk_bytes),
        *_files(handles),
        *(word for path in options.readable for word in ("--ro-bind", path, path)),
        *_mounts(handles),
        *([] if handles.hold is None else ["--file", str(handles.hold), "/dev/null"]),
        *(word for path in ("/proc/1", "/proc", "/dev", "/") for word in ("--remount-ro", path)),
        "--clearenv",
        *(word for name, value in command.env.items() for word in ("--setenv", name, value)),
        "--chdir", str(command.cwd),
    ]  # fmt: skip


def _isolation(options: Options, handles: Handles) -> Iterator[str]:
    for namespace in _NAMESPACES:
        yield f"--unshare-{namespace}"
    if options.disable_userns:
        yield "--disable-userns"
    yield from ("--uid", str(UID), "--gid", str(GID), "--hostname", HOSTNAME, "--cap-drop", "ALL")
    yield from ("--die-with-parent", "--new-session")
    if handles.seccomp is not None:
        yield from ("--seccomp", str(handles.seccomp))
    # The sync descriptor is the other end of the block descriptor: held by the sandbox itself, it keeps a
    # daemon's death from looking like the word to go on.
    yield from ("--json-status-fd", str(handles.status), "--block-fd", str(handles.block))
    yield from ("--sync-fd", str(handles.sync))


@lru_cache(maxsize=8)
def _system(options: Options) -> tuple[str, ...]:
    return tuple(_shown(options))


def _shown(options: Options) -> Iterator[str]:
    for folder in ("/etc", "/home", "/run", "/var"):  # parents that bwrap makes on its own are 0700
        yield from ("--dir", folder)
    for folder in options.view.folders:
        yield from ("--ro-bind", folder, folder)
    for target, path in options.view.links:
        yield from ("--symlink", target, path)
    yield from ("--proc", "/proc")  # with its settings made read-only in the end
    # Number 1 is bubblewrap itself, under the command's own user: its program and memory are hidden
    yield from ("--size", "4096", "--tmpfs", "/proc/1")
    for path in options.masked:
        yield from ("--ro-bind", "/dev/null", path)
    yield from ("--dev", "/dev", "--symlink", "/tmp", "/var/tmp")
    for source, path in options.devices:
        yield from ("--dev-bind", source, path)


def _private(disk_bytes: int | None) -> Iterator[str]:
    for path, mode, eighths in PRIVATE:
        if disk_bytes is not None:
            yield from ("--size", str(max(1, disk_bytes * eighths // 8)))
        yield from ("--perms", mode, "--tmpfs", path)


def _files(handles: Handles) -> Iterator[str]:
    for path, fd in handles.files.items():
        yield from ("--perms", "0444", "--file", str(fd), path)


def _mounts(handles: Handles) -> Iterator[str]:
    for each in handles.mounts:
        mount, source = each.mount, each.source
        if mount.upper is not None:
            yield from ("--overlay-src", str(mount.source))
            yield from ("--overlay", str(mount.upper), str(mount.work), str(mount.target))
        else:
            flag = ("--bind" if mount.writable else "--ro-bind") + ("-fd" if isinstance(source, int) else "")
            yield from (flag, str(source), str(mount.target))
