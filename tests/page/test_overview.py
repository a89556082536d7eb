"""What comes first on the first page."""

from datetime import UTC, datetime, timedelta

from hutch.web.page.overview import Seen, Work, overview
from hutch_mcp_tools.change_records import ReviewRecord
from hutch_mcp_tools.network_records import TrafficRecord
from hutch_mcp_tools.run_records import RunRecord
from hutch_mcp_tools.session_records import SessionRecord
from hutch_mcp_tools.usage_records import ModelUsage, Usage

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def run(name: str, status: str, minutes_ago: float, **more: object) -> RunRecord:
    values = {"run_id": name, "status": status, "command": name, "method": "bubblewrap", "exit_code": 0}
    at = NOW - timedelta(minutes=minutes_ago)
    return RunRecord.model_validate({**values, "created_at": at, **more})


def session(name: str, status: str, **more: object) -> SessionRecord:
    values = {
        "session_id": name,
        "kind": "agent",
        "agent": "claude",
        "status": status,
        "method": "bubblewrap",
    }
    return SessionRecord.model_validate({**values, "created_at": NOW, "updated_at": NOW, **more})


def names(works: object) -> list[str]:
    assert isinstance(works, list)
    assert all(isinstance(work, Work) for work in works)
    return [work.id for work in works]


def test_what_needs_a_person_comes_first_then_refusals_then_the_newest() -> None:
    refused = {"wiki.example.org:443": "no rule allows it"}
    traffic = [TrafficRecord(host="pypi.org", port=443, is_refused=True)]
    seen = Seen(
        runs=[
            run("r-calm", "running", 1),
            run("r-held", "suspended", 2),
            run("r-stuck", "running", 3, refused=refused),
            run("r-done", "exited", 4),
            run("r-turn", "running", 5, session_id="s-agent"),
            run("r-refused", "exited", 6, exit_code=1, refused=refused),
            run("r-review", "exited", 7),
        ],
        sessions=[
            session("s-agent", "running", run_id="r-turn"),
            session("s-blocked", "running", traffic=traffic),
        ],
        reviews=[
            ReviewRecord(review="r-review", folder="/src", changes=2, bytes=1, created_at=NOW),
            ReviewRecord(review="r-done", folder="/src", changes=0, bytes=1, created_at=NOW),
        ],
    )
    shown = overview(seen)
    assert names(shown.needs) == ["s-blocked", "r-held", "r-stuck", "r-review"]
    assert names(shown.at_work) == ["s-agent", "r-calm"]
    assert names(shown.ended) == ["r-refused", "r-done"]
    assert shown.needs[1].needs == ("It is held still; to let it go on: hutch resume r-held",)
    assert shown.needs[3].needs == ("2 changes of /src to look at: hutch diff r-review",)


def test_costs_are_the_metered_ones_where_anything_was_metered() -> None:
    reported = Usage(input_tokens=1, output_tokens=1, cost_usd=9)
    seen_outside = ModelUsage(host="h", model="m", input_tokens=20_000, output_tokens=300, cost_usd=0.5)
    unpriced = ModelUsage(host="h", model="n", input_tokens=1)
    sessions = [
        session("s-reported", "idle", usage=reported),
        session("s-metered", "idle", usage=reported, metered=[seen_outside]),
        session("s-unpriced", "idle", usage=reported, metered=[seen_outside, unpriced]),
    ]
    told = {work.id: (work.tokens, work.cost) for work in overview(Seen([], sessions, [])).ended}
    assert told == {
        "s-reported": ("1 in, 1 out", "$9.0000"),
        "s-metered": ("20k in, 300 out", "$0.5000"),
        "s-unpriced": ("20k in, 300 out", ""),
    }
