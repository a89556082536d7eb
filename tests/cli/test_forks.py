"""`hutch agent --forks`, `compare`, `keep`, `discard GROUP`: what is asked for, and what is told."""

import json
import os
import signal
from collections.abc import Callable

import anyio
import pytest

from hutch.cli.forks import Watched
from hutch_mcp_tools.agent_records import AgentRequest
from hutch_mcp_tools.group_records import Forks, GroupRecord
from support.mcp_service import FakeService

Hutch = Callable[..., int]
Captured = pytest.CaptureFixture[str]


TOGETHER = ("--group-budget-usd", "2", "--group-budget-tokens", "9")


def begin(hutch: Hutch, *more: str) -> int:
    return hutch("agent", "claude", "Mend it.", "-v", "web", "--forks", "2", *more)


def test_what_varies_is_asked_for(hutch: Hutch, service: FakeService, capfd: Captured) -> None:
    assert (
        begin(hutch, "--model", "a,b", "--variant", "First.", "--budget-usd", "1", *TOGETHER, "--detach") == 0
    )
    ((request, forks),) = service.forks
    assert forks == Forks(count=2, models=["a", "b"], variants=["First."], budget_usd=2, budget_tokens=9)
    assert (request.prompt, request.volume, request.model, request.budget_usd) == ("Mend it.", "web", None, 1)
    assert capfd.readouterr() == ("g-0001\n", "2 are at work; see: hutch compare g-0001\n")


@pytest.mark.parametrize(
    "options",
    [
        ("--variant", "x"),
        TOGETHER,
        ("--model", "a,b"),
        ("--forks", "1"),
        ("--forks", "2", "--session", "s-1"),
    ],
)
def test_what_does_not_go_together_is_a_usage_error(hutch: Hutch, options: tuple[str, ...]) -> None:
    assert hutch("agent", "claude", "go", *options) == 2


def test_what_they_have_spent_together_is_told(hutch: Hutch, service: FakeService, capfd: Captured) -> None:
    begin(hutch, "--detach")
    group = service.groups["g-0001"]
    service.groups["g-0001"] = group.model_copy(update={"budget": "$0.52 of $2.00"})
    capfd.readouterr()
    assert hutch("compare", "g-0001") == 0
    assert "\ntogether: $0.52 of $2.00\n" in capfd.readouterr().out


def test_the_attempts_are_told_side_by_side(hutch: Hutch, capfd: Captured) -> None:
    assert begin(hutch) == 0
    out, err = capfd.readouterr()
    heads, first, second = out.splitlines()
    assert heads.split() == ["#", "SESSION", "STATE", "TOOK", "TOKENS", "COST", "CHANGED", "MODEL", "NOW"]
    assert first.split()[:3] == ["1", "s-g1", "done"]
    assert "1 file " in second
    assert "Attempt 2 is done." in second
    assert "compare: hutch compare g-0001; keep one in volume web" in err


def test_a_comparison_has_a_row_for_each_and_a_column_in_the_files(hutch: Hutch, capfd: Captured) -> None:
    begin(hutch, "--detach")
    capfd.readouterr()
    assert hutch("compare", "g-0001") == 0
    table, files = capfd.readouterr().out.split("\n\n")
    assert "done" in table.splitlines()[1]
    assert "+2 -0" in table.splitlines()[2]
    assert [line.split() for line in files.splitlines()] == [
        ["FILE", "1", "2"],
        ["note.txt", "A", "+1", "-0", "A", "+2", "-0"],
    ]
    assert hutch("compare") == 0
    assert "g-0001" in capfd.readouterr().out
    assert hutch("compare", "g-0001", "--json") == 0
    assert [each["session_id"] for each in json.loads(capfd.readouterr().out)] == ["s-g1", "s-g2"]


def test_two_attempts_are_named_by_their_numbers(hutch: Hutch, capfd: Captured) -> None:
    begin(hutch, "--detach")
    capfd.readouterr()
    assert hutch("compare", "g-0001", "--diff", "1", "s-g2") == 0
    assert capfd.readouterr().out == "-a\n+b\n"
    assert hutch("compare", "g-0001", "--diff", "1", "7") == 2
    assert "'7' is none, or several" in capfd.readouterr().err


def test_one_is_kept_and_the_others_discarded(hutch: Hutch, service: FakeService, capfd: Captured) -> None:
    begin(hutch, "--detach")
    capfd.readouterr()
    assert hutch("keep", "s-g2") == 0
    assert hutch("keep", "s-g1", "--as", "apart") == 0
    assert service.kept == [("s-g2", None), ("s-g1", "apart")]
    err = capfd.readouterr().err
    assert "volume web: snapshot 4, 2 changes, is what s-g2 left" in err
    assert "hutch discard g-0001" in err
    assert hutch("discard", "g-0001") == 0
    assert service.discarded == ["g-0001"]
    err = capfd.readouterr().err
    assert "1 volume removed: web-0001-2" in err
    assert "error: volume web-0001-1 is left: session s-g1 is at work" in err
    assert hutch("stop", "g-0001") == 0
    assert capfd.readouterr().err == "g-0001: done, done\n"


async def test_an_interrupt_ends_the_attempts_and_waits_for_their_end(
    service: FakeService, monkeypatch: pytest.MonkeyPatch, capfd: Captured
) -> None:
    request = AgentRequest(agent="claude", prompt="Mend it.")
    ended = await service.start_forks(request, Forks(count=2))
    attempts = [each.model_copy(update={"status": "running"}) for each in ended.attempts]
    group = ended.model_copy(update={"attempts": attempts})
    is_stopped = anyio.Event()

    async def get_group(*_: object) -> GroupRecord:
        os.kill(os.getpid(), signal.SIGINT)
        await is_stopped.wait()
        return ended

    async def stop_group(_: str) -> GroupRecord:
        is_stopped.set()
        return ended

    monkeypatch.setattr(service, "get_group", get_group)
    monkeypatch.setattr(service, "stop_group", stop_group)
    watched = Watched(service, group, as_json=False)
    assert await watched.to_the_end() == ended
    assert watched.signal == signal.SIGINT
    told = capfd.readouterr().err.splitlines()
    assert told[0] == "attempt 1, s-g1: running"
    assert "ending the attempts (once more: leave them to the daemon)" in told
    assert told[-1] == "attempt 2, s-g2: done"
