"""An agent that makes no progress where it should is ended, and no other."""

from dataclasses import dataclass, field

import anyio

from hutch.agents import AgentEvent, Ending, Erred, Outcome, Said, Usage
from hutch.runs.turns.patience import Patience
from hutch.supervisor import Standstill, Stop


@dataclass
class Waiting:
    """A reading that waits for a network."""

    patience_s: float | None = 0.05
    events: list[AgentEvent] = field(default_factory=list)

    def feed(self, chunk: bytes) -> list[AgentEvent]:
        return self.events

    def finish(self, *, exit_code: int | None, stderr: str = "") -> Outcome:
        return Outcome(Ending.INTERRUPTED, "", None, "", Usage())


async def ended(patience: Patience, within_s: float, *events: AgentEvent) -> bool:
    """Whether it was asked to stop while these events were heard again and again."""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(patience.watch, 0.01)
        with anyio.move_on_after(within_s):
            while not patience.stop.is_asked:
                for event in events:
                    patience.heard(event)
                await anyio.sleep(0.01)
        tasks.cancel_scope.cancel()
    return patience.stop.is_asked


async def test_who_waits_for_what_does_not_come_is_ended() -> None:
    patience = Patience("codex", Stop(), Standstill(), Waiting())
    assert await ended(patience, 20.0, Erred("Reconnecting... waiting for network"))
    assert (patience.stop.outcome, "no progress in 0.05 s" in patience.stop.reason) == ("timed_out", True)


async def test_who_makes_progress_or_may_take_its_time_is_not() -> None:
    assert not await ended(Patience("codex", Stop(), Standstill(), Waiting(60.0)), 0.2, Said("I work."))
    assert not await ended(Patience("codex", Stop(), Standstill(), Waiting(None)), 0.2)
    assert not await ended(Patience("codex", Stop(), Standstill()), 0.2)


async def test_who_is_held_still_is_not() -> None:
    standstill = Standstill()
    standstill.begin()
    assert not await ended(Patience("codex", Stop(), standstill, Waiting()), 0.2)
