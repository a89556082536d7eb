"""The real command line on a real daemon with real sandboxes."""

import json
import os
import signal
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from subprocess import DEVNULL, PIPE, CompletedProcess, Popen

import anyio
import pytest
from anyio import to_thread
from anyio.abc import Process
from anyio.streams.text import TextReceiveStream

from hutch.client import connect
from hutch_mcp_tools.run_records import RunRecord
from hutch_mcp_tools.session_records import SessionRecord
from support.daemon import BASE, Daemon, daemon, model_config, scripted_model
from support.streams import until

HUTCH = (sys.executable, "-m", "hutch")
_BOUND_S = 100  # inside pytest's own, which would end every test that shares the daemon
TASK = 'Make a note. SCRIPT: [{"shell": "echo hi > note.txt"}, {"text": "Noted."}]'


@pytest.fixture(scope="module")
async def served(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Daemon]:
    async with daemon(tmp_path_factory.mktemp("d") / "x") as made:
        await hutch(made, "doctor")  # measured now, so that no test waits for it and is told so
        yield made


def environment(made: Daemon) -> dict[str, str]:
    return {**made.env, "HUTCH_CONFIG": str(made.folder / "config.toml")}


async def hutch(made: Daemon, *arguments: str, stdin: bytes = b"") -> CompletedProcess[bytes]:
    with anyio.fail_after(_BOUND_S):
        done = await anyio.run_process([*HUTCH, *arguments], input=stdin, env=environment(made), check=False)
    return CompletedProcess(done.args, done.returncode, done.stdout, beside_waiting(done.stderr))


def beside_waiting(stderr: bytes) -> bytes:
    """What was said but for the signs of life, which a machine at work makes necessary."""
    return b"".join(line for line in stderr.splitlines(keepends=True) if not line.startswith("… ".encode()))


async def told(made: Daemon, *arguments: str, stdin: bytes = b"") -> str:
    done = await hutch(made, *arguments, stdin=stdin)
    assert (done.returncode, done.stderr) == (0, b""), done.stdout
    return done.stdout.decode()


@asynccontextmanager
async def start(made: Daemon, *arguments: str) -> AsyncGenerator[Process]:
    words = [*HUTCH, *arguments]
    process = await anyio.open_process(words, env=environment(made), stdin=None, stdout=PIPE, stderr=PIPE)
    async with process:
        try:
            yield process
        finally:
            if process.returncode is None:
                process.kill()


async def said(process: Process, text: str) -> str:
    """Read what a program prints until it has said `text`."""
    assert process.stdout is not None
    seen = ""
    with anyio.fail_after(_BOUND_S):
        async for piece in TextReceiveStream(process.stdout):
            seen += piece
            if text in seen:
                return seen
    raise AssertionError(f"it ended without saying {text!r}: {seen}")


async def newest(made: Daemon) -> RunRecord:
    async with connect(made.config) as client:
        return (await client.list_runs(1))[0]


async def test_a_command_s_output_input_and_exit_code_pass_through(served: Daemon) -> None:
    done = await hutch(served, "run", "--", "sh", "-c", "cat; echo oops >&2; exit 7", stdin=b"in\n")
    assert (done.returncode, done.stdout, done.stderr) == (7, b"in\n", b"oops\n")


async def test_output_comes_while_the_command_works_and_an_interrupt_ends_it(served: Daemon) -> None:
    async with start(served, "run", "--", "sh", "-c", "echo ready; sleep 60") as process:
        await said(process, "ready\n")
        process.send_signal(signal.SIGINT)
        assert await process.wait() == 130
    assert (await newest(served)).status == "cancelled"


async def test_a_reader_that_goes_away_ends_the_run(served: Daemon) -> None:
    def read_one_line() -> int:
        words = [*HUTCH, "run", "--", "sh", "-c", "while :; do echo more; done"]
        with Popen(words, env=environment(served), stdin=DEVNULL, stdout=PIPE, stderr=PIPE) as program:
            assert program.stdout is not None
            assert program.stderr is not None
            program.stdout.readline()
            program.stdout.close()
            assert beside_waiting(program.stderr.read()) == b""
            return program.wait(_BOUND_S)

    assert await to_thread.run_sync(read_one_line) == 141
    assert (await newest(served)).status == "cancelled"


async def test_what_a_run_leaves_in_a_volume_is_told_by_the_volume_commands(served: Daemon) -> None:
    await told(served, "run", "-v", "web:/data", "--", "sh", "-c", "mkdir /data/a; echo one > /data/a/b")
    assert await told(served, "volume", "cat", "web", "a/b") == "one\n"
    assert await told(served, "volume", "tree", "web") == "a/\n  b\n"
    left = json.loads(await told(served, "volume", "log", "web", "--json"))
    assert [change for entry in reversed(left) for change in entry["changed"]] == ["A a", "A a/b"]
    newest = left[0]["snapshot"]  # a slow run was looked at on its way too
    done = await hutch(served, "volume", "put", "web", "a/b", stdin=b"two\n")
    assert (done.returncode, done.stdout) == (0, b"")
    assert done.stderr.endswith(f"volume web: snapshot {newest + 1}, 1 changed\n".encode())
    assert await told(served, "volume", "cat", "web", "a/b", "--at", str(newest)) == "one\n"
    log = json.loads(await told(served, "volume", "log", "web", "--json"))
    assert [(entry["snapshot"], entry["changed"]) for entry in log] == [
        (newest + 1, ["M a/b"]),
        *((entry["snapshot"], entry["changed"]) for entry in left),
    ]


async def test_a_folder_goes_through_the_daemon_and_back(served: Daemon, tmp_path: Path) -> None:
    (tmp_path / "in/deep").mkdir(parents=True)
    data = os.urandom(20 << 20)
    (tmp_path / "in/deep/data").write_bytes(data)
    done = await hutch(served, "volume", "put", "-r", "carried", "/", str(tmp_path / "in"))
    assert done.stderr.endswith(b"volume carried: snapshot 1, 2 changed\n")  # after a sign of life, maybe
    assert len(json.loads(await told(served, "volume", "log", "carried", "--json"))) == 1
    done = await hutch(served, "volume", "get", "carried", "deep", str(tmp_path / "out"))
    assert done.stderr.endswith(f"{tmp_path}/out: from volume carried, snapshot 1\n".encode())
    assert (tmp_path / "out/data").read_bytes() == data


async def test_a_run_works_on_a_fork_and_reads_the_past(served: Daemon) -> None:
    await told(served, "run", "-v", "past:/data", "--", "sh", "-c", "echo one > /data/f")
    await told(served, "run", "-v", "past:/data", "--", "sh", "-c", "echo two > /data/f")
    assert await told(served, "run", "-v", "past@1:/old:ro", "--", "cat", "/old/f") == "one\n"
    both = ("-v", "past@1:/old:ro", "-v", "past:/new")
    assert await told(served, "run", *both, "--", "cat", "/old/f", "/new/f") == "one\ntwo\n"
    script = "cat /data/f; echo three > /data/f"
    assert await told(served, "run", "-v", "future=past@1:/data", "--", "sh", "-c", script) == "one\n"
    assert await told(served, "volume", "cat", "future", "f") == "three\n"
    assert await told(served, "volume", "cat", "past", "f") == "two\n"
    done = await hutch(served, "run", "-v", "future=past", "--", "true")
    assert done.stderr.startswith(b"error: volume_exists: ")


async def test_a_volume_that_is_held_refuses_what_is_put_before_all_of_it_was_sent(
    served: Daemon, tmp_path: Path
) -> None:
    with (tmp_path / "huge").open("wb") as file:
        file.truncate(64 << 30)
    async with start(served, "run", "-v", "busy", "--", "sh", "-c", "echo one; sleep 60") as owner:
        await said(owner, "one\n")
        done = await hutch(served, "volume", "put", "busy", "huge", str(tmp_path / "huge"))
        assert done.returncode == 4, done.stderr
        assert b"error: volume_held: " in done.stderr
        owner.send_signal(signal.SIGINT)
        assert await owner.wait() == 130


async def test_logs_follow_a_run_to_its_end_and_an_interrupt_leaves_it_alone(served: Daemon) -> None:
    async with start(served, "run", "-v", "pipe", "--", "sh", "-c", "echo one; sleep 60") as owner:
        await said(owner, "one\n")
        run = await newest(served)
        async with start(served, "logs", "-f", run.run_id) as follower:
            await said(follower, "one\n")
            follower.send_signal(signal.SIGINT)
            assert await follower.wait() == 130
        assert (await newest(served)).status == "running"
        assert await told(served, "logs", run.run_id) == "one\n"
        await told(served, "stop", run.run_id, "--json")
        assert await owner.wait() == 130


async def test_a_sandbox_that_is_kept_takes_further_commands(served: Daemon) -> None:
    opened = json.loads(await told(served, "run", "--session", "new", "--json", "touch", "/tmp/here"))
    session = opened["session_id"]
    assert await told(served, "run", "--session", session, "ls", "/tmp") == "here\n"
    done = await hutch(served, "stop", session)
    assert (done.returncode, done.stderr.decode()) == (0, f"{session}: ended\n")


@pytest.mark.parametrize(
    ("options", "code", "error"),
    [
        (("--net", "everything"), 1, "network_denied"),
        (("--method", "none"), 1, "method_unknown"),
        (("--memory", "64GiB"), 1, "limit_exceeded"),
        (("-v", "../x"), 1, "volume_name_invalid"),
        (("-w", "/"), 1, "workspace_denied"),
    ],
)
async def test_what_the_policy_does_not_give_is_refused(
    options: tuple[str, ...], code: int, error: str, served: Daemon
) -> None:
    done = await hutch(served, "run", *options, "true")
    assert (done.returncode, done.stdout) == (code, b"")
    assert done.stderr.startswith(f"error: {error}: ".encode())
    assert b"\nhint: " in done.stderr or error == "volume_name_invalid"


async def test_a_volume_that_is_held_has_an_exit_code_of_its_own(served: Daemon) -> None:
    async with start(served, "run", "-v", "held", "--", "sh", "-c", "echo ready; sleep 60") as owner:
        await said(owner, "ready\n")
        done = await hutch(served, "run", "-v", "held", "true")
        assert done.returncode == 4
        assert b"error: volume_held: " in done.stderr
        owner.terminate()
        assert await owner.wait() == 143


async def test_doctor_tells_the_same_with_a_daemon_and_without(tmp_path: Path) -> None:
    async with daemon(tmp_path / "d") as made:
        with_daemon = json.loads(await told(made, "doctor", "--json"))
        assert with_daemon["daemon"]["running"]
        await made.end()
        without = json.loads(await told(made, "doctor", "--json"))
        assert not without["daemon"]["running"]
        assert without["methods"] == with_daemon["methods"]
        text = await told(made, "doctor")
        assert "ok  bubblewrap" in text
        assert "filesystem" in text
        await made.start()


async def test_the_first_command_starts_a_daemon_that_outlives_it(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(BASE.format(folder=tmp_path))
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "HUTCH_CONFIG": str(tmp_path / "config.toml")}
    first = await anyio.run_process([*HUTCH, "run", "echo", "hi"], input=b"", env=env)
    log = tmp_path / "state" / "daemon.log"
    assert first.stdout == b"hi\n"
    assert first.stderr.startswith(f"starting the daemon (its log: {log})\n".encode())
    second = await anyio.run_process([*HUTCH, "run", "echo", "hi"], input=b"", env=env)
    assert (second.stdout, beside_waiting(second.stderr)) == (b"hi\n", b"")
    pid = json.loads((tmp_path / "state" / "daemon.json").read_text())["pid"]
    os.kill(pid, signal.SIGTERM)
    await until(lambda: not (tmp_path / "d.sock").exists())


@pytest.mark.slow
async def test_an_agent_s_turn_is_told_as_it_works_and_goes_on_later(tmp_path: Path) -> None:
    key = {"ANTHROPIC_API_KEY": "any key will do"}
    async with scripted_model() as url, daemon(tmp_path / "d", model_config(url), env=key) as made:
        first = await hutch(made, "agent", "claude", "-v", "web", "--model", "claude-opus-5-5", TASK)
        assert first.returncode == 0, first.stderr.decode()
        story = first.stdout.decode().splitlines()
        assert story[0].startswith("· its session ")
        assert story[1:] == ["▸ Bash: echo hi > note.txt", "Noted."]
        assert b"volume web at snapshot " in first.stderr
        assert await told(made, "volume", "cat", "web", "note.txt") == "hi\n"
        second = json.loads(await told(made, "agent", "claude", "-v", "web", "--json", "Again."))
        assert SessionRecord.model_validate(second).turns == 2
        listed = await told(made, "sessions")
        assert "claude" in listed
        assert (await told(made, "logs", second["session_id"])).startswith("· its session ")
