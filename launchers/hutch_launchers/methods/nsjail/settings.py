"""From a spec to nsjail's configuration, the text of its config.proto. Pure: opens nothing."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from hutch_launchers.reaping import MARK
from hutch_launchers.spec import SandboxSpec
from hutch_launchers.system_view import GID, HOME, HOSTNAME, UID, SystemView

_NAMESPACES = ("user", "ns", "pid", "net", "ipc", "uts", "cgroup")
_INHERITED = ("as", "cpu", "fsize", "nofile", "core", "stack", "nproc")  # limits that are set from outside
_PRIVATE = (("/tmp", "1777", 4), (HOME, "0700", 3), ("/dev/shm", "1777", 1))  # eighths of the disk limit
_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
_TERMINALS = "newinstance,ptmxmode=0666,mode=0620"
_LINKS = (
    ("pts/ptmx", "/dev/ptmx"),
    ("/proc/self/fd", "/dev/fd"),
    ("/proc/self/fd/0", "/dev/stdin"),
    ("/proc/self/fd/1", "/dev/stdout"),
    ("/proc/self/fd/2", "/dev/stderr"),
    ("/tmp", "/var/tmp"),
)

Value = str | int | bool | bytes


@dataclass(frozen=True, slots=True)
class Options:
    """What depends on the host and on the method's configuration, not on the spec."""

    view: SystemView
    policy: str  # of system calls
    files: Mapping[str, bytes]  # path inside -> content
    # Further host paths: where each really is, and its path inside
    readable: tuple[tuple[str, str], ...] = ()
    masked: tuple[str, ...] = ()  # files in /proc
    mount_points: tuple[str, ...] = ()  # of the host
    devices: tuple[tuple[str, str], ...] = ()  # (host's node, path inside), in place of root's own


def nsjail_settings(options: Options, spec: SandboxSpec) -> str:
    """All but the command. The command's environment is not in it: it comes on standard input."""
    settings: list[str] = [
        _line("name", spec.run_id),
        "mode: ONCE",
        "log_level: ERROR",
        _line("hostname", HOSTNAME),
        _line("time_limit", 0),  # the daemon's to watch
        _line("envar", f"{MARK}={spec.run_id}"),
        *(_line(f"clone_new{name}", value=True) for name in _NAMESPACES),
        *(f"rlimit_{name}_type: HARD" for name in _INHERITED),
        _block("uidmap", inside_id=str(UID), outside_id=str(os.geteuid()), count=1),
        _block("gidmap", inside_id=str(GID), outside_id=str(os.getegid()), count=1),
        *_mounts(options, spec),
        _line("seccomp_string", options.policy),
    ]
    return "\n".join(settings) + "\n"


def _mounts(options: Options, spec: SandboxSpec) -> Iterator[str]:
    yield _block("mount", dst="/", fstype="tmpfs", options="size=65536,mode=0755", nosuid=True, nodev=True)
    shown = [*((folder, folder) for folder in options.view.folders), *options.readable]
    for source, path in shown:
        yield from _bind_all(options, source, path)
    for target, path in (*options.view.links, *_LINKS):
        yield _block("mount", src=target, dst=path, is_symlink=True)
    yield _block("mount", dst="/proc", fstype="proc", nosuid=True, nodev=True, noexec=True)
    for path in options.masked:
        # one that nsjail, with all capabilities of its namespace, cannot open to mount over, is shut already
        yield _bind("/dev/null", path, mandatory=False)
    nodes = options.devices or tuple((f"/dev/{name}", f"/dev/{name}") for name in _DEVICES)
    for node, path in nodes:
        yield _block("mount", src=node, dst=path, is_bind=True, rw=True, nosuid=True, noexec=True)
    yield _block(
        "mount", dst="/dev/pts", fstype="devpts", rw=True, options=_TERMINALS, nosuid=True, noexec=True
    )
    # process 1 is the shell in front of the command: nobody's business
    for path in ("/run", "/proc/1"):
        yield _block(
            "mount", dst=path, fstype="tmpfs", options="size=4096,mode=0755", nosuid=True, nodev=True
        )
    yield from _private(spec.limits.disk_bytes)
    for path, content in options.files.items():
        yield _block("mount", dst=path, src_content=content, nosuid=True, nodev=True)
    for mount in spec.mounts:
        yield from _bind_all(options, str(mount.source), str(mount.target), rw=mount.writable)


def _private(disk_bytes: int | None) -> Iterator[str]:
    for path, mode, eighths in _PRIVATE:
        size = "" if disk_bytes is None else f"size={max(1, disk_bytes * eighths // 8)},"
        yield _block(
            "mount", dst=path, fstype="tmpfs", rw=True, options=f"{size}mode={mode}", nosuid=True, nodev=True
        )


def _bind_all(options: Options, source: str, target: str, *, rw: bool = False) -> Iterator[str]:
    """A bind, and one for each mount below it: nsjail sets flags such as read-only on the uppermost alone."""
    yield _bind(source, target, rw=rw)
    for point in options.mount_points:
        if point.startswith(source.rstrip("/") + "/"):
            yield _bind(point, target.rstrip("/") + point.removeprefix(source.rstrip("/")), rw=rw)


def _bind(source: str, target: str, *, rw: bool = False, mandatory: bool = True) -> str:
    flags = {"is_bind": True, "rw": rw, "nosuid": True, "nodev": True, "mandatory": mandatory}
    return _block("mount", src=source, dst=target, **flags)


def _block(name: str, **values: Value) -> str:
    return f"{name} {{ {' '.join(_line(key, value) for key, value in values.items())} }}"


def _line(name: str, value: Value) -> str:
    if isinstance(value, bool):
        return f"{name}: {'true' if value else 'false'}"
    if isinstance(value, int):
        return f"{name}: {value}"
    data = value.encode(errors="surrogateescape") if isinstance(value, str) else value
    return f'{name}: "{"".join(map(_character, data))}"'


def _character(byte: int) -> str:
    plain = 32 <= byte < 127 and byte not in b'"\\'
    return chr(byte) if plain else f"\\{byte:03o}"
