"""Memory, as the kernel counts it."""

from pathlib import Path


def proportional_bytes(pid: int) -> int:
    """A process's share of what it has mapped (PSS)."""
    return _field(Path(f"/proc/{pid}/smaps_rollup"), "Pss:")


def available_bytes() -> int:
    """What the host could still give."""
    return _field(Path("/proc/meminfo"), "MemAvailable:")


def _field(path: Path, name: str) -> int:
    line = next(line for line in path.read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) << 10
