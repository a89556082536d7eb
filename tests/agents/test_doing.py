"""The one line that says what an agent does."""

from pathlib import Path

import pytest

from hutch.agents import AgentEvent, FileChanged, Retrying, Said, SessionNamed, ToolEnded, ToolStarted, doing
from hutch.runs.path.live import LiveRun
from hutch.runs.path.log import RunLog
from hutch.state import Run


@pytest.mark.parametrize(
    ("event", "told"),
    [
        (SessionNamed("id", "m"), "its model is at work"),
        (ToolStarted("1", "Bash", "make test"), "Bash: make test"),
        (ToolEnded("1", failed=True, summary="2 failed"), "its model is at work"),
        (Said("Two tests fail."), "says: Two tests fail."),
        (FileChanged("a.py"), None),
        (
            Retrying(2, 6, 4.2, 529, "overloaded"),
            "its model failed (529 overloaded); the agent's try 2 of 6 in 4 s",
        ),
    ],
)
def test_each_event_says_what_comes_of_it(event: AgentEvent, told: str | None) -> None:
    assert doing(event) == told


def test_what_the_sandbox_says_is_one_harmless_line_of_bounded_length(tmp_path: Path) -> None:
    run = Run("r-1", "running", "claude: go", "bubblewrap", 0)
    live = LiveRun(run, RunLog(tmp_path / "r-1", 1000))
    live.does("says: \x1b]0;owned\x07one\ntwo" + "x" * 100_000)
    assert "\x1b" not in live.note
    assert "\n" not in live.note
    assert len(live.note) <= 120
    since = live.noted_at
    live.does("says: \x1b]0;owned\x07one\ntwo" + "x" * 100_000)
    assert live.noted_at == since
