"""Which limit a command met: told by what the kernel counted and by what is full, never by guess."""

import os
import signal
from contextlib import suppress
from dataclasses import dataclass, replace

from hutch_launchers.spec import ExitStatus, Guarantee
from hutch_launchers.system_view import HOME

_PRIVATE = ("/tmp", HOME, "/dev/shm")
_HELD = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FULL = 256  # less than one part in so many is left: what is written comes in pages, not in bytes


@dataclass(frozen=True, slots=True)
class Strikes:
    """How often the limits of a sandbox have struck so far."""

    memory: int = 0  # processes killed
    pids: int = 0  # processes and threads refused; without a control group: looks that found it at its bound

    def since(self, earlier: "Strikes") -> "Strikes":
        return Strikes(self.memory - earlier.memory, self.pids - earlier.pids)

    def and_also(self, other: "Strikes") -> "Strikes":
        return Strikes(self.memory + other.memory, self.pids + other.pids)


NONE = Strikes()


class PrivateSpace:
    """The private folders of a sandbox, held from outside: they are gone for everybody else when it ends."""

    def __init__(self) -> None:
        self._fds: list[int] = []

    def hold(self, pid: int) -> None:
        """Hold those that the process `pid` of the sandbox sees, now that they are made."""
        for path in _PRIVATE:
            with suppress(OSError):  # it has ended, or has no such folder
                fd = os.open(f"/proc/{pid}/root{path}", _HELD)
                if os.fstat(fd).st_dev == _device(path):  # it sees the host's own
                    os.close(fd)
                else:
                    self._fds.append(fd)

    @property
    def is_full(self) -> bool:
        """Whether one of them has no room, for data or for names."""
        for fd in self._fds:
            room = os.fstatvfs(fd)
            if room.f_blocks and (
                room.f_bavail * _FULL < room.f_blocks or (room.f_files and not room.f_favail)
            ):
                return True
        return False

    def close(self) -> None:
        while self._fds:
            os.close(self._fds.pop())


def _device(path: str) -> int | None:
    with suppress(OSError):
        return os.stat(path).st_dev  # noqa: PTH116 - three times in each start
    return None


def marked(status: ExitStatus, strikes: Strikes, *, is_full: bool = False) -> ExitStatus:
    """Return the status with the limit that its command met, if it failed and one struck.

    A kill for memory counts only with an end by SIGKILL: a command may well outlive a child's.
    """
    if strikes.memory and signal.SIGKILL in (status.signal, (status.code or 0) - 128):
        return replace(status, limit=Guarantee.MEMORY)
    if status.code == 0:
        return status
    if strikes.pids:
        return replace(status, limit=Guarantee.PIDS)
    return replace(status, limit=Guarantee.DISK) if is_full else status
