"""How many CPUs a sandbox takes, as the host counts it: a kernel of its own has clocks of its own."""

import time

import anyio

from hutch_launchers import proc

_LOOK_S = 0.02


class CpuMeter:
    """Adds up the CPU time of a process and all below it, from the first look to the last."""

    def __init__(self, pid: int | None) -> None:
        """None: nobody knows it, and nothing is measured."""
        self._pid = pid
        self._looks: list[float] = []  # when
        self._first: dict[int, float] = {}  # CPU time that is not to count, by process
        self._last: dict[int, float] = {}  # one that has ended keeps what it was last seen with

    async def watch(self, told: bytearray, begin: bytes, end: bytes) -> None:
        """Look from when `begin` has been told until `end` has."""
        while self._pid is not None and end not in told:
            if begin in told:
                self._look(self._pid)
            await anyio.sleep(_LOOK_S)

    def _look(self, pid: int) -> None:
        self._looks.append(time.monotonic())
        for one in (pid, *proc.descendants(pid)):
            spent_s = proc.cpu_s(one)
            self._first.setdefault(one, spent_s if len(self._looks) == 1 else 0.0)
            self._last[one] = max(spent_s, self._last.get(one, 0.0))

    @property
    def cpus(self) -> float:
        """How many were taken on average; 0 before the second look."""
        passed_s = self._looks[-1] - self._looks[0] if self._looks else 0.0
        return (sum(self._last.values()) - sum(self._first.values())) / passed_s if passed_s else 0.0
