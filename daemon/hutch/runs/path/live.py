"""A run while it lives: its record as it stands, its log, and the events that others wait for."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, cast

import anyio

from hutch.budgets import Purse, Spent
from hutch.egress import InForce, Network
from hutch.errors import HutchError
from hutch.runs.path.log import RunLog
from hutch.state import Run
from hutch.supervisor import Standstill, Stop, Stream
from hutch_mcp_tools.network_records import NetworkChange, NetworkRecord
from hutch_mcp_tools.text import one_line
from hutch_mcp_tools.usage_records import Budget

_DOING_CHARS = 120  # of what an agent does
_GRACE_S = 2.0  # for a run that has to end, to do so by itself


class Remote(Protocol):
    """The process of its own that takes a run, for those who look at the run here. Raises HutchError."""

    async def suspend(self, *, suspended: bool) -> None:
        """Hold it still, or let it go on."""

    async def change_network(self, change: NetworkChange, by: str) -> NetworkRecord:
        """Put other rules in force."""

    async def give(self, budget: Budget) -> None:
        """Give it more money."""

    async def caught_up(self) -> None:
        """Return when what it has told until now is known here, or soon."""


@dataclass(slots=True)
class LiveRun:
    """Owned by the task that takes it along its path; others read, wait, and ask it to stop."""

    record: Run
    log: RunLog
    output_bytes: int | None = None  # after so many, of both streams together, it is ended
    stop: Stop = field(default_factory=Stop)
    error: HutchError | None = None  # why its sandbox could not be given, or its volume not be committed
    behind: Callable[[], dict[str, str]] = dict  # volumes whose newest changes the store has not yet; how far
    note: str = "preparing"  # what it is doing, for a person who waits
    noted_at: float = field(default_factory=time.time)
    place: int | None = None  # in the queue, from 1
    refused: dict[str, str] = field(default_factory=dict)  # destination -> why it was not reached
    started: anyio.Event = field(default_factory=anyio.Event)  # its process runs, or it ended before it could
    ended: anyio.Event = field(default_factory=anyio.Event)  # its record is final
    is_owed: bool = False  # it could not be stored
    remote: Remote | None = None  # where it is not taken by this process
    process: object | None = None  # while it runs in a sandbox of its own
    standstill: Standstill = field(default_factory=Standstill)
    time_budget: str = ""  # the one that has set its deadline
    over_budget: str = ""  # why it was refused another answer of a model
    purse: Purse | None = None  # where something of its network is metered
    network: InForce = field(default_factory=lambda: InForce(Network()))  # what it may reach now
    parent: "LiveRun | None" = None  # whose agent has begun it, and whose budgets it shares
    # By which its sandbox's door reaches us; empty: it has none
    door_token: str = field(default="", repr=False)
    wall_s: float = 0
    began_at: float = 0  # monotonic
    _written: int = 0

    @property
    def id(self) -> str:
        return self.record.id

    @property
    def is_suspended(self) -> bool:
        return self.standstill.holds or self.record.status == "suspended"

    @property
    def enforced(self) -> Mapping[str, str]:
        """What enforces each guarantee of its sandbox."""
        return cast("Mapping[str, str]", self.record.policy.get("enforced", {}))

    def say(self, note: str) -> None:
        """Tell those who wait what it is doing."""
        if note != self.note:
            self.note, self.noted_at = note, time.time()
            self.log.wake()

    def does(self, what: str) -> None:
        """Say what its agent does, in the sandbox's own words."""
        self.say(one_line(what, _DOING_CHARS))

    def now(self) -> str:
        """Return what it is doing, and what models have cost it so far."""
        spent = self.purse.so_far if self.purse else Spent()
        cost = f"; {spent.tokens:,} tokens, ${spent.usd:.4f} so far" if spent.requests else ""
        return self.note + cost

    def reached(self, destination: str, refused: str | None) -> None:
        """Note that a connection was made, or why it was refused, and tell those who wait."""
        if refused is not None:
            self.refused[destination] = refused
            self.say(f"{destination} was refused: {refused}")
        elif self.refused.pop(destination, None):
            self.say("running")

    def waits(self, note: str) -> bool:
        """Tell those who wait what for; whether anybody still wants it."""
        self.say(note)
        return not self.stop.is_asked

    def ask_to_stop(self, reason: str) -> None:
        """End it for a reason that it is told of in time to put things in order."""
        self.stop.ask(reason, _GRACE_S)

    def stop_at_once(self, reason: str) -> None:
        """End it for a reason that leaves no time to put things in order."""
        self.stop.ask(reason, 0)

    def sink(self, stream: Stream, data: bytes) -> None:
        self.log.write(stream, data)
        self._written += len(data)
        if self.output_bytes is not None and self._written > self.output_bytes:
            self.stop.ask(f"output limit of {self.output_bytes} bytes", 0, "output_limit")

    def change(self, **values: Any) -> Run:
        """Change the record and return it."""
        self.record = replace(self.record, **values)
        return self.record

    def view(self) -> Run:
        """Return the record as it stands, with what the log and the store hold by now."""
        logged: Any = self._logged() | self.spent()
        if not self.record.is_ended:
            logged["unsynced"] = {**self.record.unsynced, **self.behind()}
            logged |= {"status": "suspended"} if self.standstill.holds else {}
        return replace(self.record, **logged)

    def end(self, **values: Any) -> Run:
        """Make the record final, with what the log came to; the caller stores it, then announces it."""
        self.log.close()
        return self.change(ended_at=time.time(), **self._logged(), **self.spent(), **values)

    def spent(self) -> dict[str, Any]:
        """Return its budgets as they stand, for its record; of another process' run, those that it shares."""
        if self.purse is None:
            return {}
        own = self.record.budgets if self.remote else ()
        return {"budgets": (*own, *self.purse.state())}

    def _logged(self) -> dict[str, int]:
        if self.remote is not None:
            return {}  # the record has it
        return {
            "stdout_bytes": self.log.size("stdout"),
            "stderr_bytes": self.log.size("stderr"),
            "dropped_bytes": self.log.dropped_bytes,
        }

    def announce_end(self) -> None:
        self.started.set()
        self.ended.set()
        self.log.wake()
