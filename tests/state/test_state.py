import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from hutch.errors import HutchError
from hutch.runs.lookup import find_session
from hutch.state import Connection, Run, Session, Tokens, Traffic, UsageRow
from hutch.state.migrate import steps
from hutch.state.records import SessionTotals
from hutch.state.store import open_state
from hutch_mcp_tools.run_records import RunStatus

RUN = Run(
    id="r-1",
    status="running",
    command="make test",
    method="bubblewrap",
    created_at=100.0,
    policy={"network": "none"},
    volumes=("web:/workspace",),
)
SESSION = Session(
    id="s-1",
    kind="agent",
    status="idle",
    method="bubblewrap",
    created_at=50.0,
    updated_at=60.0,
    agent="claude",
)


async def test_a_run_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    ended = replace(
        RUN,
        status="exited",
        ended_at=101.0,
        exit_code=3,
        snapshots={"web": 7},
        changed={"web": ("A x",)},
        tokens=Tokens(1, 2, 3, 4, 0.5),
    )
    async with open_state(tmp_path / "state.db") as state:
        await state.put_run(RUN)
        await state.put_run(ended)
        assert await state.run("r-1") == ended
        assert await state.unfinished_runs() == []


async def test_what_was_written_survives_reopening(tmp_path: Path) -> None:
    async with open_state(tmp_path / "state.db") as state:
        await state.put_session(SESSION)
        await state.put_run(replace(RUN, session_id="s-1"))
    async with open_state(tmp_path / "state.db") as state:
        assert await state.session("s-1") == SESSION
        assert [run.id for run in await state.unfinished_runs()] == ["r-1"]


async def test_a_sessions_totals_add_up_over_its_runs(tmp_path: Path) -> None:
    async with open_state(tmp_path / "state.db") as state:
        await state.put_session(SESSION)
        for n in range(3):
            tokens = Tokens(10, 1, cost_usd=0.25) if n else None
            await state.put_run(
                replace(RUN, id=f"r-{n}", session_id="s-1", created_at=100.0 + n, tokens=tokens)
            )
        assert await state.totals("s-1") == SessionTotals(3, "r-2", Tokens(20, 2, cost_usd=0.5))


async def test_what_never_had_a_process_is_no_turn(tmp_path: Path) -> None:
    async with open_state(tmp_path / "state.db") as state:
        await state.put_session(SESSION)
        ends: list[tuple[RunStatus, float | None]] = [
            ("failed", None),
            ("cancelled", None),
            ("lost", None),
            ("running", None),
            ("failed", 1.0),
        ]
        for n, (status, duration_s) in enumerate(ends):
            run = replace(RUN, id=f"r-{n}", session_id="s-1", status=status, duration_s=duration_s)
            await state.put_run(run)
        assert (await state.totals("s-1")).turns == 3


async def test_what_was_refused_is_told_of_the_run_it_was_refused_to(tmp_path: Path) -> None:
    async with open_state(tmp_path / "state.db") as state:
        for run_id, at, refused in (("r-1", 105, "unresolved"), ("r-1", 106, None), ("s-1", 120, "address")):
            await state.add_connection(Connection(run_id, at, "a.example", None, 443, 0, 0, 0, refused))
        run = replace(RUN, created_at=100.0, ended_at=110.0)
        assert await state.refused(replace(run, id="r-1")) == {"a.example:443": "unresolved"}
        in_session = replace(run, id="r-2", session_id="s-1")
        assert await state.refused(in_session) == {}  # the sandbox was refused it after this run
        assert await state.refused(replace(in_session, ended_at=None)) == {"a.example:443": "address"}


async def test_sessions_come_by_their_last_work_and_page_on_without_gap(tmp_path: Path) -> None:
    async with open_state(tmp_path / "state.db") as state:
        for n in range(7):
            one = replace(SESSION, id=f"s-{n}", created_at=-float(n), updated_at=float(n // 2))
            await state.put_session(one)
        seen: list[str] = []
        before = None
        while page := await state.sessions(2, before=before):
            seen += [session.id for session in page]
            before = (page[-1].updated_at, page[-1].id)
        assert seen == ["s-6", "s-4", "s-5", "s-2", "s-3", "s-0", "s-1"]


async def test_an_id_is_found_by_its_prefix_and_a_session_by_its_name(tmp_path: Path) -> None:
    async with open_state(tmp_path / "state.db") as state:
        await state.put_session(replace(SESSION, id="s-abc", name="docs"))
        assert await state.ids("sessions", "s-a") == ["s-abc"]
        assert await state.ids("sessions", "docs") == ["s-abc"]
        assert await state.ids("sessions", "%") == []


async def test_connections_of_a_run_are_kept_in_order(tmp_path: Path) -> None:
    async with open_state(tmp_path / "state.db") as state:
        await state.put_run(RUN)
        made = Connection("r-1", 2.0, "api.example.org", "192.0.2.1", 443, 10, 20, 0.5, None)
        refused = Connection("r-1", 1.0, "api.example.org", None, 443, 0, 0, 0.0, "private address")
        await state.add_connection(made)
        await state.add_connection(refused)
        again = replace(made, at=3.0, way="door", rule="api.example.org:443")
        await state.add_connection(again)
        assert await state.connections(RUN, 10) == [refused, made, again]
        assert await state.connections(RUN, 1) == [again]


async def test_traffic_is_summed_by_destination_and_rule_the_refused_last(tmp_path: Path) -> None:
    async with open_state(tmp_path / "state.db") as state:
        await state.put_session(replace(SESSION, id="s-1"))
        for number in range(2):
            await state.put_run(replace(RUN, id=f"r-{number}", session_id="s-1", created_at=0))
        made = Connection("r-0", 1.0, "a.example", "192.0.2.1", 443, 10, 20, 0.5, None, rule="*.example:443")
        await state.add_connection(made)
        await state.add_connection(replace(made, at=2.0, sent=1, count=3, way="socks"))
        await state.add_connection(replace(made, at=3.0, run_id="r-1", refused="rule", told="ask for it"))
        run, session = await state.run("r-0"), await state.session("s-1")
        assert run is not None
        assert session is not None
        passed = Traffic("a.example", 443, "*.example:443", False, "", 4, 11, 40, 1.0)
        assert await state.traffic(run, 10) == [passed]
        refused = Traffic("a.example", 443, "*.example:443", True, "ask for it", 1, 10, 20, 0.5)
        assert await state.traffic(session, 10) == [passed, refused]
        await state.add_connection(replace(made, at=4.0, host="b.example"))
        newest = replace(passed, host="b.example", count=1, sent=10, received=20, duration_s=0.5)
        assert await state.traffic(session, 1) == [newest, refused]


async def test_the_database_is_private_to_its_owner(tmp_path: Path) -> None:
    async with open_state(tmp_path / "deep" / "state.db"):
        assert (tmp_path / "deep" / "state.db").stat().st_mode & 0o077 == 0


async def test_a_database_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "state.db") as db:
        db.execute("PRAGMA user_version = 9999")
    db.close()
    with pytest.raises(HutchError) as refused:
        async with open_state(tmp_path / "state.db"):
            pass
    assert refused.value.code == "state_newer"


def test_migrations_are_numbered_without_a_gap() -> None:
    assert [number for number, _ in steps()] == list(range(1, len(steps()) + 1))


async def test_a_full_disk_is_a_clean_error_and_the_rows_before_it_stay(tmp_path: Path) -> None:
    async with open_state(tmp_path / "state.db") as state:
        await state.put_run(RUN)
        await state._db.execute("PRAGMA max_page_count = 1")
        with pytest.raises(HutchError) as refused:
            await state.put_run(replace(RUN, id="r-2", command="x" * 100_000))
        assert refused.value.code == "state_failed"
        assert await state.run("r-1") is not None


async def test_what_was_there_before_there_were_principals_is_the_owners(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    with sqlite3.connect(path) as db:
        db.executescript(steps()[0][1] + "PRAGMA user_version = 1;")
        columns, values = "id, status, method, created_at", "'bubblewrap', 1.0"
        db.execute(
            f"INSERT INTO runs ({columns}, command, policy) VALUES ('r-1', 'exited', {values}, '', '{{}}')"
        )
        db.execute(
            f"INSERT INTO sessions ({columns}, kind, updated_at) VALUES ('s-1', 'idle', {values}, 'agent', 1)"
        )
    db.close()
    async with open_state(path) as state:
        run, session = await state.run("r-1"), await state.session("s-1")
        assert run is not None
        assert session is not None
        assert (run.principal, session.principal) == ("owner", "owner")
        assert await state.runs(9, principal="ci") == []
        assert await state.ids("runs", "r-", "ci") == []


async def test_runs_and_sessions_are_found_by_whose_they_are(tmp_path: Path) -> None:
    async with open_state(tmp_path / "state.db") as state:
        for n, principal in enumerate(("owner", "ci", "ci")):
            await state.put_run(replace(RUN, id=f"r-{n}", principal=principal))
            named = replace(SESSION, id=f"s-{n}", principal=principal, name="same", volume="web")
            await state.put_session(named)
        assert {run.id for run in await state.runs(9, principal="ci")} == {"r-1", "r-2"}
        assert {one.id for one in await state.sessions(9, principal="ci")} == {"s-1", "s-2"}
        assert {one.id for one in await state.sessions(9)} == {"s-0", "s-1", "s-2"}
        assert await state.ids("sessions", "same", "owner") == ["s-0"]
        assert len(await state.ids("runs", "r-")) == 3
        newest = await state.newest_agent_session("web", "claude", "owner")
        assert newest is not None
        assert newest.id == "s-0"
        assert await state.newest_agent_session("web", "claude", "eve") is None


async def test_the_owner_finds_his_own_first_and_everything_by_its_id(tmp_path: Path) -> None:
    """So nobody makes the owner's names ambiguous by taking them."""
    async with open_state(tmp_path / "state.db") as state:
        await state.put_session(replace(SESSION, id="s-1", name="build"))
        await state.put_session(replace(SESSION, id="s-2", name="build", principal="ci"))
        assert (await find_session(state, "build", "owner")).id == "s-1"
        assert (await find_session(state, "build", "ci")).id == "s-2"
        assert (await find_session(state, "s-2", "owner")).id == "s-2"
        for text in ("s-1", "s-", "", "build"):
            if text in ("s-", "build"):
                assert (await find_session(state, text, "ci")).id == "s-2"
            else:
                with pytest.raises(HutchError, match="no session is called"):
                    await find_session(state, text, "ci")


async def test_what_an_agents_run_has_begun_counts_as_its_own(tmp_path: Path) -> None:
    policy = {"requested": {"begun_by": "r-1"}}
    async with open_state(tmp_path / "state.db") as state:
        await state.put_session(SESSION)
        await state.put_run(replace(RUN, session_id="s-1"))
        for name, begun in (("r-2", policy), ("r-3", {})):
            await state.put_run(replace(RUN, id=name, policy=begun))
        for name in ("r-1", "r-2", "r-3"):
            session_id = None if name == "r-3" else "s-1"
            await state.add_usage(UsageRow(name, "2026-11-21", "h", "m", session_id, "owner", requests=1))
            await state.add_connection(Connection(name, 100.0, "h", "a", 443, 1, 2, 0.5, ""))
        own = UsageRow("r-1", "2026-11-21", "h", "m", "s-1", "owner", requests=5)
        await state.put_usage(own)  # as its runner tells: what its agent has begun is beside it
        assert {row.run_id: row.requests for row in await state.usage(run_id="r-1")} == {"r-1": 5, "r-2": 1}
        assert len(await state.usage(session_id="s-1", day="2026-11-21")) == 2
        assert [row.run_id for row in await state.usage(run_id="r-2")] == ["r-2"]
        assert await state.bytes_passed(run_id="r-1") == await state.bytes_passed(session_id="s-1") == 6
        assert await state.bytes_passed(run_id="r-1", is_alone=True) == 3
        assert await state.bytes_passed(principal="owner") == 9
