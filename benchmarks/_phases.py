"""What a turn by Hutch spends its time on, by the events that its runner told."""

from collections.abc import Iterator, Sequence
from typing import Any

# Each lasts from the one before, the first from when the turn was asked for
PHASES = (
    "its runner begins",
    "its volume is there",
    "its sandbox runs",
    "it asks its model",
    "the agent has ended",
    "it is committed",
    "it is answered",
)


def durations(asked_at: float, events: Sequence[dict[str, Any]], answered_at: float) -> dict[str, float]:
    """Return the seconds until each of `PHASES`."""
    times = [asked_at, *_times(events), answered_at]
    return {name: later - at for name, at, later in zip(PHASES, times[:-1], times[1:], strict=True)}


def _times(events: Sequence[dict[str, Any]]) -> Iterator[float]:
    noted = {each["note"]: each["at"] for each in reversed(events) if each["kind"] == "note"}
    yield from (each["at"] for each in events if each["kind"] == "begun")
    yield noted["starting its sandbox"]
    yield noted["running"]
    yield min(each["connection"]["at"] for each in events if each["kind"] == "connection")
    yield noted["committing its volumes"]
    yield from (each["at"] for each in events if each["kind"] == "final")
