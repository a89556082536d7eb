"""Ends an agent that waits for what does not come: some try for ever to reach their model."""

import time
from dataclasses import dataclass

import anyio

from hutch.agents import AgentEvent, Erred, Reading, Retrying
from hutch.supervisor import Standstill, Stop

_LOOK_S = 1.0
_GRACE_S = 2.0


@dataclass(slots=True)
class Patience:
    """With one turn's agent. How much there is, its reading says, and only for some of its states."""

    name: str
    stop: Stop
    standstill: Standstill
    reading: Reading | None = None  # None: it has not begun
    _since: float = 0.0  # monotonic: of the last progress

    def heard(self, event: AgentEvent) -> None:
        if not isinstance(event, Erred | Retrying):
            self._since = time.monotonic()

    async def watch(self, every_s: float = _LOOK_S) -> None:
        """Run beside the turn, until it is cancelled."""
        while True:
            patience_s = self.reading.patience_s if self.reading and not self.standstill.holds else None
            if patience_s is None:
                self._since = time.monotonic()
            elif time.monotonic() - self._since > patience_s:
                self.stop.ask(f"{self.name} made no progress in {patience_s:g} s", _GRACE_S, "timed_out")
            await anyio.sleep(every_s)
