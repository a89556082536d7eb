"""The queue of agents' turns: who begins next when there is room, fair between principals."""

from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import anyio

from hutch.runs.path.live import LiveRun


@dataclass(frozen=True, slots=True)
class Waiting:
    """A turn in the queue."""

    run_id: str
    principal: str
    asked_at: float


def in_order(
    waiting: Sequence[Waiting], at_work: Mapping[str, int], served: Mapping[str, int]
) -> list[Waiting]:
    """Return the turns as they will begin. Pure.

    Each time there is room it goes to the principal with the fewest turns at work; of those alike to the one
    that was `served` longest ago, by the number of his last beginning; of his turns it is the oldest.
    """
    own: dict[str, deque[Waiting]] = {}
    for turn in sorted(waiting, key=lambda turn: (turn.asked_at, turn.run_id)):
        own.setdefault(turn.principal, deque()).append(turn)
    busy, last, number = Counter(at_work), dict(served), max(served.values(), default=0)
    line: list[Waiting] = []
    while own:
        whose = min(own, key=lambda who: (busy[who], last.get(who, 0), own[who][0].asked_at))
        line.append(own[whose].popleft())
        number += 1
        busy[whose], last[whose] = busy[whose] + 1, number
        if not own[whose]:
            del own[whose]
    return line


@dataclass(slots=True)
class Line:
    """The queue of one daemon. `look` is to be called whenever there may be more room.

    `at_work` says how many turns of each principal work, `has_room` whether one more of his may.
    """

    at_work: Callable[[], Mapping[str, int]]
    has_room: Callable[[str], bool]
    _waiting: dict[str, tuple[Waiting, LiveRun, anyio.Event]] = field(default_factory=dict)
    _served: dict[str, int] = field(default_factory=dict)

    def join(self, live: LiveRun, asked_at: float) -> None:
        """Stand in line; where there is room the run is `starting` when this returns. Idempotent."""
        if live.record.status == "queued" and live.id not in self._waiting:
            turn = Waiting(live.id, live.record.principal, asked_at)
            self._waiting[live.id] = (turn, live, anyio.Event())
            self.look()

    async def until_first(self, live: LiveRun) -> bool:
        """Return when it may begin, True, or when somebody stops it, False. It stands in line no more."""
        if (found := self._waiting.get(live.id)) is not None:
            with anyio.CancelScope() as waiting, live.stop.ends(waiting):
                try:
                    await found[2].wait()
                finally:
                    if self._waiting.pop(live.id, None):
                        self.look()
        return live.record.status == "starting" and not live.stop.is_asked

    def look(self) -> None:
        """Let begin who may, and tell the others their places."""
        while (turn := next(filter(self._may_begin, self._in_order()), None)) is not None:
            _, live, may_begin = self._waiting.pop(turn.run_id)
            self._served[turn.principal] = max(self._served.values(), default=0) + 1
            live.change(status="starting")
            live.say("preparing")
            may_begin.set()
        line = self._in_order()
        for place, turn in enumerate(line, start=1):
            live = self._waiting[turn.run_id][1]
            if live.place != place:
                live.place = place
                live.say(f"in the queue, at place {place}")

    def waiting(self, principal: str) -> int:
        """Return how many turns of a principal wait."""
        return sum(turn.principal == principal for turn, _, _ in self._waiting.values())

    def _in_order(self) -> list[Waiting]:
        return in_order([turn for turn, _, _ in self._waiting.values()], self.at_work(), self._served)

    def _may_begin(self, turn: Waiting) -> bool:
        return self.has_room(turn.principal)
