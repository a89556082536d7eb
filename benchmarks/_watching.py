"""What processes take while something goes on: processor time and memory, of ours and of the agent's."""

import os
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import anyio

from _proc import proportional_bytes

_BETWEEN_S = 0.03
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass
class Watch:
    """What was seen of `roots` and all that comes of them. `is_ours`: which of them are not the agent's."""

    roots: Callable[[], Iterable[int]]
    is_ours: Callable[[int], bool]
    peak: dict[bool, int] = field(default_factory=lambda: {True: 0, False: 0})  # bytes, by whether ours
    _first: dict[int, float] = field(default_factory=dict)
    _last: dict[int, tuple[bool, float]] = field(default_factory=dict)

    def begin(self) -> None:
        """What is there by now has worked before."""
        self._first = {pid: spent_s(pid) for pid in family(self.roots())}

    def look(self) -> None:
        memory = {True: 0, False: 0}
        for pid in family(self.roots()):
            with suppress(OSError, StopIteration, IndexError):  # it has just ended
                ours = self.is_ours(pid)
                self._last[pid] = ours, spent_s(pid)
                memory[ours] += proportional_bytes(pid)
        self.peak = {ours: max(self.peak[ours], memory[ours]) for ours in memory}

    def cpu_s(self, *, ours: bool) -> float:
        """A lower bound: what a process did after it was last looked at is not seen."""
        return sum(
            spent - self._first.get(pid, 0.0) for pid, (of_us, spent) in self._last.items() if of_us == ours
        )


@asynccontextmanager
async def watching(watch: Watch) -> AsyncGenerator[None]:
    """Look all the time, for the length of the block."""

    async def keep_looking() -> None:
        while True:
            watch.look()
            await anyio.sleep(_BETWEEN_S)

    watch.begin()
    async with anyio.create_task_group() as group:
        group.start_soon(keep_looking)
        yield
        watch.look()
        group.cancel_scope.cancel()


def spent_s(pid: int) -> float:
    """Processor time of a process that lives, without its children's."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def family(roots: Iterable[int]) -> list[int]:
    """The roots and all their descendants."""
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, IndexError):
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(folder.name))
    found = []
    waiting = list(roots)
    while waiting:
        pid = waiting.pop()
        found.append(pid)
        waiting += children.get(pid, [])
    return found


def is_of_this_host(pid: int) -> bool:
    """Whether it is in no sandbox: in the same namespace of processes as we are."""
    return Path(f"/proc/{pid}/ns/pid").readlink() == Path("/proc/self/ns/pid").readlink()
