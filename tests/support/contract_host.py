"""What the host itself tells of a daemon and its sandboxes: memory, processes, mounts, control groups."""

import os
from pathlib import Path

from support.contract_column import Column


def resident_bytes(made: Column) -> int:
    """Memory that the daemon holds."""
    assert made.daemon.process is not None
    return _kib(Path(f"/proc/{made.daemon.process.pid}/status"), "VmRSS")


def available_bytes() -> int:
    """Memory that this host has left."""
    return _kib(Path("/proc/meminfo"), "MemAvailable")


def alive(command: str) -> list[int]:
    """The processes with exactly this command line, its words separated by blanks."""
    wanted = command.replace(" ", "\0").encode() + b"\0"
    return [int(path.parent.name) for path in Path("/proc").glob("[0-9]*/cmdline") if _read(path) == wanted]


def command_lines_with(word: str) -> list[bytes]:
    """Every command line of this host that holds `word`, as any of its users can see it."""
    lines = (_read(path) for path in Path("/proc").glob("[0-9]*/cmdline"))
    return [line for line in lines if word.encode() in line]


def outside_programs_with(word: bytes) -> set[bytes]:
    """Programs outside any sandbox that have `word` in their environment."""
    own = Path("/proc/self/ns/pid").readlink()
    entries = (entry for entry in Path("/proc").glob("[0-9]*") if word in _read(entry / "environ"))
    return {_read(entry / "comm").strip() for entry in entries if _namespace(entry) == own}


def mounts() -> list[str]:
    return Path("/proc/self/mounts").read_text().splitlines()


def control_groups() -> list[str]:
    return sorted(str(path) for path in Path("/sys/fs/cgroup").glob("*/hutch/*") if path.is_dir())


def free_bytes(path: str = "/") -> int:
    """Room on a disk."""
    status = os.statvfs(path)
    return status.f_bavail * status.f_frsize


def _kib(path: Path, key: str) -> int:
    lines = path.read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{key}:"))


def _namespace(entry: Path) -> Path | None:
    try:
        return (entry / "ns/pid").readlink()
    except OSError:
        return None


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""
