"""The commands that tell and end what there is: ps, show, logs, stop, sessions, volume."""

import json
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest

from hutch_mcp_tools.session_records import SessionPage, SessionRecord
from hutch_mcp_tools.usage_records import Usage
from support.mcp_service import NOW, FakeService

Hutch = Callable[..., int]
Captured = pytest.CaptureFixture[str]


def test_ps_lists_what_works_and_all_of_it_when_asked(
    hutch: Hutch, service: FakeService, capfd: Captured
) -> None:
    ended, works = service.put_run(), service.put_run(status="running")
    assert hutch("ps", "--json") == 0
    assert [run["run_id"] for run in json.loads(capfd.readouterr().out)] == [works]
    assert hutch("ps", "--all") == 0
    lines = capfd.readouterr().out.splitlines()
    assert lines[0].split() == ["RUN", "STATUS", "METHOD", "SESSION", "AGE", "TOOK", "COMMAND", "DOING"]
    assert [line.split()[:2] for line in lines[1:]] == [[ended, "exited"], [works, "running"]]


def test_a_record_that_a_sandbox_wrote_cannot_forge_lines(
    hutch: Hutch, service: FakeService, capfd: Captured
) -> None:
    run = service.put_run(command="true\nr-9999 \x1b[2Jexited", reason="a\x1b]0;b\x07\nc")
    assert hutch("show", run) == 0
    shown = capfd.readouterr().out
    assert "\x1b" not in shown
    assert "command    true r-9999 exited\n" in shown
    assert "reason     a c\n" in shown


def session(service: FakeService, **more: object) -> SessionRecord:
    fields: dict[str, object] = {"session_id": "s-0001", "kind": "agent", "status": "idle", "method": "none"}
    record = SessionRecord.model_validate({**fields, "created_at": NOW, "updated_at": NOW, **more})
    service.sessions[record.session_id] = record
    return record


def test_show_finds_runs_and_sessions(hutch: Hutch, service: FakeService, capfd: Captured) -> None:
    run = service.put_run()
    made = session(service)
    assert hutch("show", run, "--json") == 0
    assert json.loads(capfd.readouterr().out)["run_id"] == run
    assert hutch("show", "s-0001", "--json") == 0
    assert SessionRecord.model_validate_json(capfd.readouterr().out) == made
    assert hutch("show", "nothing") == 1
    assert capfd.readouterr().err.startswith("error: session_unknown: ")


def test_sessions_tells_the_agent_s_work_tokens_and_cost(
    hutch: Hutch, service: FakeService, capfd: Captured
) -> None:
    usage = Usage(input_tokens=200, output_tokens=30, cache_read_tokens=20_000, cost_usd=0.0123)
    session(service, agent="claude", volume="web", turns=2, usage=usage, last_message="It\nworks.")
    assert hutch("sessions") == 0
    head, row = capfd.readouterr().out.splitlines()
    assert head.split()[:5] == ["SESSION", "STATUS", "AGENT", "VOLUME", "TURNS"]
    for part in ("s-0001   idle    claude  web     2      20k in, 30 out  $0.0123", "It works."):
        assert part in row


def test_sessions_go_on_where_a_page_ended(hutch: Hutch, service: FakeService, capfd: Captured) -> None:
    for n in range(3):
        session(service, session_id=f"s-000{n}")
    assert hutch("sessions", "-n", "2") == 0
    assert capfd.readouterr().err == "more: hutch sessions --cursor '2'\n"
    assert hutch("sessions", "-n", "2", "--cursor", "2", "--json") == 0
    page = SessionPage.model_validate_json(capfd.readouterr().out)
    assert [found.session_id for found in page.sessions] == ["s-0000"]


def test_logs_prints_both_streams_where_they_belong(
    hutch: Hutch, service: FakeService, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    run = service.put_run(stdout=b"out\xff", stderr=b"err")
    for follow in ((), ("-f",)):
        assert hutch("logs", run, *follow) == 0
        assert capfdbinary.readouterr() == (b"out\xff", b"err")


def test_logs_of_a_session_are_those_of_its_newest_run(
    hutch: Hutch, service: FakeService, capfd: Captured
) -> None:
    session(service, run_id=service.put_run(stdout=b"newest"))
    assert hutch("logs", "s-0001", "--json") == 0
    assert json.loads(capfd.readouterr().out) == {"run_id": "r-0001", "stdout": "newest", "stderr": ""}
    session(service, session_id="s-0002")
    assert hutch("logs", "s-0002") == 1
    assert capfd.readouterr().err.startswith("error: run_unknown: session s-0002 has run nothing yet")


def test_logs_of_an_agent_are_its_story(hutch: Hutch, service: FakeService, capfd: Captured) -> None:
    said = {"type": "assistant", "message": {"content": [{"type": "text", "text": "Done.\x1b[2J\nReally."}]}}
    run = service.put_run(stdout=json.dumps(said).encode() + b"\n", session_id="s-0001")
    session(service, agent="claude", run_id=run)
    assert hutch("logs", run) == 0
    assert capfd.readouterr().out == "Done.\nReally.\n"
    assert hutch("logs", run, "--raw") == 0
    assert json.loads(capfd.readouterr().out) == said


def test_stop_ends_runs_and_sessions(hutch: Hutch, service: FakeService, capfd: Captured) -> None:
    run = service.put_run()
    session(service)
    assert hutch("stop", run) == 0
    assert capfd.readouterr() == ("", f"{run}: exited\n")
    assert hutch("stop", "s-0001", "--remove", "--json") == 0
    assert json.loads(capfd.readouterr().out)["status"] == "ended"
    assert service.sessions == {}


# Volumes ------------------------------------------------------------


def test_a_file_goes_into_a_volume_and_comes_out_as_it_was(
    hutch: Hutch, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    data = bytes(range(256)) * 40_000  # over what is moved at once
    (tmp_path / "data").write_bytes(data)
    assert hutch("volume", "put", "web", "a/data", str(tmp_path / "data")) == 0
    capfdbinary.readouterr()
    assert hutch("volume", "cat", "web", "a/data") == 0
    assert capfdbinary.readouterr() == (data, b"")


def test_a_volume_is_listed_as_a_folder_and_as_a_tree(
    hutch: Hutch, service: FakeService, capfd: Captured
) -> None:
    anyio.run(service.put_volume, "web", {"a/b/c": b"1", "a/\x1b[2Jd": b"", "e": b"22"})
    assert hutch("volume", "ls", "web", "a", "--json") == 0
    assert [entry["name"] for entry in json.loads(capfd.readouterr().out)] == ["\x1b[2Jd", "b"]
    assert hutch("volume", "tree", "web") == 0
    assert capfd.readouterr().out == "a/\n  d\n  b/\n    c\ne\n"
    assert hutch("volume", "ls") == 0
    assert capfd.readouterr().out.splitlines()[1].split()[:5] == ["web", "1", "3", "3", "B"]


def test_a_folder_is_not_a_file_and_a_file_not_a_folder(
    hutch: Hutch, service: FakeService, capfd: Captured
) -> None:
    anyio.run(service.put_volume, "web", {"a/b": b""})
    assert hutch("volume", "cat", "web", "a") == 1
    assert capfd.readouterr().err == "error: path_invalid: 'a' is a folder\nhint: hutch volume ls web a\n"
    assert hutch("volume", "ls", "web", "a/b") == 1
    assert capfd.readouterr().err == "error: path_invalid: 'a/b' is a file\nhint: hutch volume cat web a/b\n"
