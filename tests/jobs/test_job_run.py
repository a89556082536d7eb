"""`hutch job run` for real: real sandboxes, a real store, processes that are ended and killed."""

import os
import signal
from pathlib import Path

import anyio
import pytest

from support.daemon import daemon, model_config, scripted_model
from support.jobs import Host, of, written
from support.streams import LONG_S

pytestmark = pytest.mark.slow

KEY = {"ANTHROPIC_API_KEY": "sk-planted-canary"}


def command(text: str, **more: object) -> dict[str, object]:
    return {"version": 1, "run": {"command": text, "volumes": ["web"], **more}}


def turn(script: str, **more: object) -> dict[str, object]:
    said = {"agent": "claude", "prompt": f"Work. SCRIPT: {script}", "volume": "web"}
    return {"version": 1, "agent": {**said, "model": "claude-opus-5-5", **more}}


async def test_a_command_is_taken_to_its_end_and_its_code_is_passed_on(tmp_path: Path) -> None:
    host = Host(tmp_path)
    script = "cat; printf 'é\\303'; echo odd >&2; echo $WORD > /workspace/f; exit 3"
    code, events = await host.take(command(script, stdin="aW4K", env={"WORD": "kept"}))
    assert code == 3
    assert (events[0]["kind"], events[-2]["kind"], events[-1]) == (
        "begun",
        "final",
        {**events[-1], "kind": "ended", "exit_code": 3, "version": 1},
    )
    assert written(events) == "in\né".encode() + b"\303"
    assert written(events, "stderr") == b"odd\n"
    record = of(events, "run")[-1]["run"]
    assert (record["status"], record["exit_code"]) == ("exited", 3)
    assert record["changed"] == {"web": ["A f"]}
    assert record["policy"]["enforced"]["network"]
    assert host.left == []
    code, events = await host.take(command("cat f"))
    assert (code, written(events)) == (0, b"kept\n")


async def test_a_job_says_more_than_the_configuration_and_is_bound_by_its_policy(tmp_path: Path) -> None:
    host = Host(tmp_path / "host", "[policy.max_limits]\nwall_s = 20\n[policy.limits]\nwall_s = 10\n")
    store = {"storage": {"url": f"file://{tmp_path}/elsewhere"}}
    code, _ = await host.take(command("echo 1 > f") | {"configuration": store})
    assert code == 0
    assert list((tmp_path / "elsewhere").iterdir())
    assert not (tmp_path / "host/state/store").exists()
    for document, refused in (
        (command("true", timeout_s=30), "limit_exceeded"),
        (command("true", network="python"), "network_denied"),
        (command("true", secrets=["anthropic"]), "secret_denied"),
        (command("true", method="docker"), "method_unknown"),
    ):
        code, events = await host.take(document)
        assert (code, of(events, "final")[0]["error"]["code"]) == (1, refused)
        assert of(events, "run") == []
    method = {"policy": {"method": "mine"}, "methods": {"mine": {"kind": "bubblewrap"}}}
    code, events = await host.take(command("true") | {"configuration": method})
    assert (code, of(events, "run")[-1]["run"]["method"]) == (0, "mine")
    assert host.left == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_it_with_its_volume_committed(tmp_path: Path, number: signal.Signals) -> None:
    host = Host(tmp_path)
    job = host.start(command("echo kept > f; echo ready; sleep 500"))
    await job.until(lambda event: event["kind"] == "output")
    assert await job.end(number) == 128 + number
    record = of(job.told(), "run")[-1]["run"]
    assert (record["status"], record["reason"]) == ("cancelled", f"ended by {number.name}")
    assert record["snapshots"]["web"] > 0
    assert host.left == []


async def test_a_reader_that_goes_away_ends_it(tmp_path: Path) -> None:
    host = Host(tmp_path)
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    reading = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    job = host.start(command("echo kept > f; while :; do echo more; sleep 0.05; done"), fifo)
    with anyio.fail_after(LONG_S):
        while b'"output"' not in await _read(reading):
            pass
    os.close(reading)
    assert await job.end() == 141
    code, events = await host.take(command("cat f"))
    assert (code, written(events)) == (0, b"kept\n")


async def _read(descriptor: int) -> bytes:
    await anyio.sleep(0.01)
    try:
        return os.read(descriptor, 1 << 16)
    except BlockingIOError:
        return b""


async def test_after_a_kill_the_same_job_or_a_daemon_goes_on(tmp_path: Path) -> None:
    host = Host(tmp_path)
    document = command("cat f 2>/dev/null; echo once >> f; echo ready; sleep 500") | {"id": "r-again"}
    killed = host.start(document)
    await killed.until(lambda event: event["kind"] == "output")
    assert await killed.end(signal.SIGKILL) == -signal.SIGKILL
    assert [path.name for path in (tmp_path / "state/jobs").iterdir()] == ["r-again"]

    again = host.start(document)
    await again.until(lambda event: "ready" in event.get("text", ""))
    assert written(again.told()).startswith(b"once\n")  # what the killed one wrote was not lost
    refused, told = await host.take(document)
    assert (refused, told) == (1, [])  # one by this id is at work
    assert "job_running" in (tmp_path / "log").read_text()
    assert await again.end(signal.SIGKILL) == -signal.SIGKILL

    async with daemon(tmp_path) as made, made.client() as client:
        assert host.left == []
        volume = await client.list_volumes()
        assert [(each.name, each.held_by) for each in volume] == [("web", None)]


async def test_an_agents_turn_is_a_job_and_the_next_one_resumes_it(tmp_path: Path) -> None:
    async with scripted_model(tmp_path / "model.log") as url:
        host = Host(tmp_path / "host", model_config(url), KEY)
        code, events = await host.take(
            turn('[{"write": "/workspace/note", "content": "x"}, {"text": "Noted."}]')
        )
        first = of(events, "session")[-1]["session"]
        assert (code, first["status"], first["last_message"]) == (0, "idle", "Noted.")
        (used,) = {event["usage"]["model"]: event["usage"] for event in of(events, "usage")}.values()
        assert (used["requests"], used["input_tokens"], used["output_tokens"]) == (2, 2000, 100)
        assert of(events, "run")[-1]["run"]["tokens"]["input"] == 2000
        assert of(events, "connection")
        code, events = await host.take(turn('[{"text": "Again."}]'))
        assert of(events, "session")[-1]["session"]["agent_session_id"] == first["agent_session_id"]
        assert "sk-planted-canary" not in "".join(map(str, events))
    assert host.left == []
