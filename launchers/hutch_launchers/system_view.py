"""What of the host's system folders a sandbox sees: /usr, and pieces of /etc that hold nothing private."""

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from hutch_launchers.thread_confinement import drop_capabilities, start_confined

HOME = "/home/agent"
USER, UID, GID = "agent", 1000, 1000
HOSTNAME = "hutch"
PRIVATE = (  # path, mode, eighths of the disk limit: the kernel has no common limit for several tmpfs
    ("/tmp", "1777", 4),
    (HOME, "0700", 3),
    ("/dev/shm", "1777", 1),
)

_TOP = ("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")  # links into /usr, or folders of their own
_ETC = (
    "/etc/ssl/certs",
    "/etc/ssl/openssl.cnf",
    "/etc/pki/tls/certs",
    "/etc/pki/tls/cert.pem",
    "/etc/pki/ca-trust/extracted",
    "/etc/ca-certificates/extracted",
    "/etc/alternatives",
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/etc/mime.types",
    "/etc/timezone",
    "/etc/os-release",
    "/etc/debian_version",
    "/etc/services",
    "/etc/protocols",
)
_MAX_COPY = 1 << 20  # bytes; a larger file is bound instead of copied


@dataclass(frozen=True, slots=True)
class SystemView:
    """Paths inside, each once. Made by `look`, turned into flags by `bwrap_argv`."""

    folders: tuple[str, ...]  # bound read-only, each at its own path
    links: tuple[tuple[str, str], ...]  # (target, path)
    files: tuple[tuple[str, bytes], ...]  # (path, content): copied, as a mount costs more


def look(folders: tuple[str, ...] = ("/usr",)) -> SystemView:
    """Look at the host as it is now. What is absent, or not readable by everybody, is left out."""
    bound = [folder for folder in folders if Path(folder).is_dir()]
    links: list[tuple[str, str]] = []
    files: list[tuple[str, bytes]] = []
    for path, status in _present((*_TOP, *_ETC)):
        if stat.S_ISLNK(status.st_mode) and _points_into(path, bound):
            # A link tells more than its content: a time zone's name
            links.append((str(Path(path).readlink()), path))
        elif Path(path).is_dir() or status.st_size > _MAX_COPY:
            bound.append(path)
        else:
            files.append((path, Path(path).read_bytes()))
    return SystemView(tuple(bound), tuple(links), tuple(files))


def _present(paths: tuple[str, ...]) -> Iterator[tuple[str, os.stat_result]]:
    for path in paths:
        try:
            # as root we could read what others must not: then it is not for a sandbox either
            if Path(path).stat().st_mode & stat.S_IROTH:
                yield path, os.lstat(path)
        except OSError:
            continue


def _points_into(path: str, folders: list[str]) -> bool:
    target = os.path.realpath(path)
    return any(target.startswith(folder + "/") for folder in folders)


def private_proc_files() -> tuple[str, ...]:
    """Files in /proc that root alone may read or write, to be masked where the sandbox has root's kernel uid.

    Run by root, its uid 1000 *is* the kernel's uid 0, and their modes are all that guards these. What the
    kernel refuses without a capability besides, as the log, needs no mask, which costs time at each start.
    """
    masked = []
    for entry in os.scandir("/proc"):
        if entry.is_file(follow_symlinks=False):
            mode = entry.stat().st_mode
            if not mode & 0o044 or (mode & 0o200 and not mode & 0o002):
                masked.append(entry.path)
    return start_confined(drop_capabilities, lambda: tuple(filter(_opens, sorted(masked))))


def _opens(path: str) -> bool:
    for way in (os.O_RDONLY, os.O_WRONLY):
        with suppress(OSError):
            os.close(os.open(path, way | os.O_NONBLOCK | os.O_CLOEXEC))
            return True
    return False


def passwd() -> bytes:
    """The content of /etc/passwd inside."""
    shell = "/bin/bash" if Path("/bin/bash").exists() else "/bin/sh"
    return (
        "root:x:0:0:root:/:/usr/sbin/nologin\n"
        f"{USER}:x:{UID}:{GID}:{USER}:{HOME}:{shell}\n"
        "nobody:x:65534:65534:nobody:/:/usr/sbin/nologin\n"
    ).encode()


def group() -> bytes:
    """The content of /etc/group inside."""
    return f"root:x:0:\n{USER}:x:{GID}:\nnogroup:x:65534:\n".encode()
