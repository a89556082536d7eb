"""Events as lines of JSON: what is told reads back as it was, also what has no value."""

import pytest

from hutch.jobs import EVENT, Connected, Used
from hutch.runner.telling import Numbered
from hutch.state import Connection, UsageRow

MADE = Connection("r-1", 2.0, "api.example.org", "192.0.2.1", 443, 10, 20, 0.5, refused=None)
REFUSED = Connection("r-1", 1.0, "api.example.org", None, 443, 0, 0, 0.0, refused="private address")
USED = UsageRow("r-1", "2026-11-21", "api.example.org:443", "m", session_id=None, principal="ada", requests=1)


@pytest.mark.parametrize(
    "event", [Connected(connection=MADE), Connected(connection=REFUSED), Used(usage=USED)], ids=str
)
def test_an_event_reads_back_as_it_was_told(event: Connected | Used) -> None:
    lines: list[bytes] = []
    Numbered(lines.append)(event)
    [line] = lines
    assert line.count(b"\n") == 1
    read = EVENT.validate_json(line)
    assert read.n == 1
    assert read == event.model_copy(update={"n": read.n, "at": read.at})
