"""The document of a job: read strictly, written and read again, and its published schema."""

import fcntl
import json
import sys
from decimal import Decimal
from pathlib import Path

import pytest
from pydantic import ValidationError

from hutch.budgets import Limit
from hutch.errors import HutchError
from hutch.jobs import (
    EVENT,
    Begun,
    Ended,
    Event,
    Failure,
    Final,
    Job,
    JobFolder,
    Noted,
    Output,
    Recorded,
    configuration_of,
    read_job,
)
from hutch.jobs.document import merged
from hutch.jobs.events import Connected, SessionTold, Used
from hutch.runner.telling import Numbered
from hutch.state import Connection, Run, Session, UsageRow

ROOT = Path(__file__).parents[2]
ENV = {"HOME": "/home/ada"}


def with_record(run_id: str) -> str:
    record = {"id": run_id, "status": "running", "command": "a", "method": "none", "created_at": 1.0}
    return json.dumps({"version": 1, "id": "r-1", "run": {"command": "a"}, "record": record})


def with_session(session_id: str) -> str:
    times = {"created_at": 1.0, "updated_at": 1.0}
    session = {"id": session_id, "kind": "agent", "status": "idle", "method": "none", **times}
    agent = {"agent": "claude", "prompt": "p"}
    return json.dumps({"version": 1, "agent": agent, "session": session})


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[1]", "S: must be an object"),
        ("{", "S: is not JSON"),
        ('{"version": 1}', "names nothing to run: a job has a 'run'"),
        (
            '{"version": 1, "run": {"command": "a"}, "agent": {"agent": "x", "prompt": "y"}}',
            "names two things to run",
        ),
        ('{"version": true, "run": {"command": "a"}}', "S: version:"),
        ('{"version": 1, "run": {}}', "S: run.command: Field required"),
        ('{"version": 1, "run": {"command": "a", "timeout_s": "9"}}', "S: run.timeout_s: Input should be"),
        ('{"version": 1, "run": {"command": "a", "timeout_s": NaN}}', "NaN is no number"),
        ('{"version": 1, "run": {"command": "a", "cwd": 1}}', "S: run.cwd:"),
        ('{"version": 1, "run": {"command": "a"}, "run": {"command": "b"}}', "'run' stands there twice"),
        ('{"version": 1, "run": {"command": "a", "session_id": "new"}}', "belongs to a daemon"),
        ('{"version": 1, "id": "../x", "run": {"command": "a"}}', "S: id:"),
        (with_record("../../etc"), "record.id: is another run's"),
        (with_session("../../etc"), "session.id: is no session's"),
        ('{"version": 1, "run": {"command": "a", "volumes": ["a", 2]}}', "S: run.volumes[1]:"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(text: str, told: str) -> None:
    with pytest.raises(HutchError) as raised:
        read_job(text.encode(), "S")
    assert raised.value.code == "job_invalid"
    assert told in raised.value.message


def test_a_key_that_stands_there_twice_is_found_among_very_many() -> None:
    others = ",".join(f'"{n}": 0' for n in range(100_000))
    with pytest.raises(HutchError, match="'z' stands there twice"):
        read_job(f'{{{others}, "z": 0, "z": 0}}'.encode(), "S")


def test_an_unknown_key_says_which_was_likely_meant() -> None:
    with pytest.raises(HutchError) as raised:
        read_job(b'{"version": 1, "run": {"command": "a", "timout_s": 9}}', "S")
    assert raised.value.message == "S: run.timout_s is not a key"
    assert raised.value.hint.startswith("did you mean 'timeout_s'?")
    with pytest.raises(HutchError) as raised:  # and not: that the key which was meant is missing
        read_job(b'{"version": 1, "run": {"comand": "a"}}', "S")
    assert raised.value.message == "S: run.comand is not a key"


def test_another_version_is_told_from_a_mistake() -> None:
    with pytest.raises(HutchError) as raised:
        read_job(b'{"version": 2, "steps": []}', "S")
    assert raised.value.code == "job_unsupported"


def test_a_job_that_was_written_is_read_as_it_was() -> None:
    job = Job.model_validate(
        {
            "version": 1,
            "id": "r-one",
            "run": {"command": ["a", "b"], "stdin": "AP8=", "env": {"A": "é"}, "timeout_s": 9},
            "principal": "ada",
            "shares": {"default/web": "ro"},
            "granted": {"wall_s": 3, "time_budget": "b", "budgets": [Limit("b", "day", usd=Decimal("0.1"))]},
            "record": Run("r-one", "starting", "a b", "bubblewrap", 1.5, volumes=("web:/workspace",)),
            "session": None,
            "configuration": {"policy": {"limits": {"pids": 9}}},
        }
    )
    assert job.run is not None
    assert job.run.stdin == b"\0\xff"
    assert read_job(job.model_dump_json(exclude_defaults=True).encode(), "S") == job
    turn = Job.model_validate(
        {
            "version": 1,
            "agent": {"agent": "claude", "prompt": "p", "skills": {"s": {"SKILL.md": "x"}}},
            "session": Session("s-1", "agent", "idle", "bubblewrap", 1, 2, request={"model": "m"}),
        }
    )
    assert read_job(turn.model_dump_json(exclude_defaults=True).encode(), "S") == turn


def test_a_job_cannot_be_changed() -> None:
    job = read_job(b'{"version": 1, "run": {"command": "a"}}', "S")
    with pytest.raises(ValidationError):
        job.principal = "ada"


def test_what_a_job_leaves_out_comes_from_the_configuration() -> None:
    owners = {
        "storage": {"url": "s3://theirs/prefix", "credentials_env": ["A", "B"]},
        "policy": {"limits": {"pids": 9, "cpus": 1.0}, "max_volumes": 3},
        "methods": {"one": {"kind": "pid", "a": 1}, "two": {"kind": "pid"}},
    }
    said = {
        "storage": {"url": "file:///ours"},
        "policy": {"limits": {"pids": 7}},
        "methods": {"one": {"kind": "bubblewrap"}},
    }
    assert merged(owners, said) == {
        "storage": {"url": "file:///ours"},
        "policy": {"limits": {"pids": 7, "cpus": 1.0}, "max_volumes": 3},
        "methods": {"one": {"kind": "bubblewrap"}, "two": {"kind": "pid"}},
    }


def test_a_mistake_in_a_jobs_configuration_is_named_with_its_place() -> None:
    job = read_job(
        b'{"version": 1, "run": {"command": "a"}, "configuration": {"policy": {"metod": "x"}}}', "S"
    )
    with pytest.raises(HutchError) as raised:
        configuration_of(job, {}, ENV, "S")
    assert raised.value.message == "S: configuration: policy.metod is not a key"
    assert "'method'" in raised.value.hint


def test_the_published_schemas_are_those_of_the_code() -> None:
    sys.path.insert(0, str(ROOT / "scripts"))
    try:
        from job_schemas import schemas
    finally:
        sys.path.pop(0)
    published = {name: (ROOT / "docs" / name).read_text() for name in schemas()}
    assert schemas() == published, "write them anew: .venv/bin/python scripts/job_schemas.py"


def test_an_event_that_was_written_is_read_as_it_was() -> None:
    lines: list[bytes] = []
    tell = Numbered(lines.append)
    run = Run("r-one", "running", "a", "bubblewrap", 1.5)
    told: list[Event] = [
        Begun(run_id="r-one", hutch="1"),
        Noted(note="é"),
        Recorded(run=run),
        SessionTold(session=Session("s-1", "agent", "idle", "bubblewrap", 1, 2)),
        Connected(connection=Connection("r-one", 1, "h", None, 1, 0, 0, 0.5, "unreachable")),
        Used(usage=UsageRow("r-one", "2026-01-01", "h", "m", None, "owner", requests=1)),
        Output(stream="stdout", start=0, text="a"),
        Final(error=Failure(code="a", message="b")),
        Ended(exit_code=0),
    ]
    for event in told:
        tell(event)
    read = [EVENT.validate_json(line) for line in lines]
    assert [event.n for event in read] == list(range(1, len(told) + 1))
    assert [event.model_copy(update={"n": 1, "at": 0}) for event in read] == told


def test_a_job_whose_folder_is_taken_away_while_it_is_being_taken_is_not_taken_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, lock = JobFolder(tmp_path / "r-1"), fcntl.flock
    folder.make()

    def late(fd: int, how: int) -> None:
        folder.remove()
        lock(fd, how)

    monkeypatch.setattr(fcntl, "flock", late)
    with pytest.raises(HutchError) as refused, folder.held():
        pass
    assert refused.value.code == "job_running"
