"""What a run tells of itself, when its agent does something else at every moment."""

import time
from pathlib import Path

from hutch.jobs import Event, JobJournal, Noted
from hutch.runner.telling import _BETWEEN_S, TellingRun
from hutch.runs.path.log import RunLog
from hutch.state import Run


def test_an_agent_that_never_stops_talking_fills_no_file(tmp_path: Path) -> None:
    told: list[Event] = []
    record = Run(id="r-1", status="running", command="x", method="none", created_at=0)
    live = TellingRun(record, RunLog(tmp_path, 1 << 20), journal=JobJournal(told.append))
    began = time.monotonic()
    for number in range(1000):
        live.does(f"says: {number}")
    assert len(told) <= 2 + (time.monotonic() - began) / _BETWEEN_S
    live._tell_does()
    assert isinstance(told[-1], Noted)
    assert told[-1].note == live.note == "says: 999"
    live.does("says: more")
    live.say("committing its volumes")
    live._tell_does()
    assert told[-1].note == "committing its volumes"
