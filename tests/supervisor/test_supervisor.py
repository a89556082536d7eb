import os
import signal
from collections.abc import AsyncGenerator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import replace

import anyio
import anyio.lowlevel
import pytest

from hutch.supervisor import Ended, Standstill, Stop, Stream, supervise
from hutch_launchers.launcher import LauncherError
from hutch_launchers.local_process import Child, LocalProcess, open_pipes
from hutch_launchers.spec import ExitStatus, Guarantee
from support.streams import LONG_S


class Sandbox(LocalProcess):
    """A real child process that stands for a sandbox; `limit` and `is_lost` are for its launcher to say."""

    limit: Guarantee | None = None
    is_lost = False

    async def wait(self) -> ExitStatus:
        if self.is_lost:
            raise LauncherError("sandbox_gone", "the kept sandbox has ended")
        return replace(await super().wait(), limit=self.limit)


@asynccontextmanager
async def child(script: str, limit: Guarantee | None = None) -> AsyncGenerator[Sandbox]:
    with ExitStack() as child_ends:
        pipes = open_pipes(child_ends)
        started = Child(["/bin/sh", "-c", script], env={"PATH": os.defpath}, stdio=pipes.child)
    process = Sandbox(started, pipes.stdin, pipes.stdout, pipes.stderr)
    process.limit = limit
    try:
        yield process
    finally:
        await process.aclose()


class Output:
    def __init__(self) -> None:
        self.taken: dict[Stream, bytes] = {"stdout": b"", "stderr": b""}
        self.ready = anyio.Event()

    def __call__(self, stream: Stream, data: bytes) -> None:
        self.taken[stream] += data
        if b"ready" in self.taken[stream]:
            self.ready.set()


async def run(
    script: str,
    *,
    stdin: bytes = b"",
    wall_s: float = 20,
    limit: Guarantee | None = None,
    grace_s: float = 5,
) -> tuple[Ended, Output]:
    output = Output()
    async with child(script, limit) as process:
        return await supervise(process, stdin, output, wall_s, Stop(grace_s=grace_s)), output


async def test_a_failing_command_is_a_result_with_both_its_streams() -> None:
    ended, output = await run("echo out; echo err >&2; exit 3")
    assert (ended.outcome, ended.exit, ended.reason) == ("exited", ExitStatus(3, None), "")
    assert output.taken == {"stdout": b"out\n", "stderr": b"err\n"}


async def test_input_larger_than_a_pipe_arrives_whole_and_ends() -> None:
    data = bytes(range(256)) * 4096
    _, output = await run("cat", stdin=data)
    assert output.taken["stdout"] == data


async def test_a_command_that_ignores_its_input_is_no_error() -> None:
    ended, _ = await run("exec <&-; exit 0", stdin=b"x" * 1_000_000)
    assert ended.exit == ExitStatus(0, None)


async def test_the_deadline_stops_a_command_and_says_so() -> None:
    ended, _ = await run("exec sleep 100", wall_s=0.1)
    assert ended.outcome == "timed_out"
    assert ended.reason == "wall time limit of 0.1 s"
    assert ended.exit == ExitStatus(None, signal.SIGTERM)


async def test_what_is_interrupted_has_its_grace_and_is_then_asked_and_killed() -> None:
    ladder = "trap 'echo INT; exit 0' INT; trap 'echo TERM' TERM; echo ready; while :; do sleep 0.01; done"
    for script, grace_s, said, exit_ in [
        (ladder, 60, b"ready\nINT\n", ExitStatus(0, None)),
        (ladder.replace("; exit 0", ""), 1, b"ready\nINT\nTERM\n", ExitStatus(None, signal.SIGKILL)),
    ]:
        output, stop = Output(), Stop(interrupts=True)
        async with child(script) as process, anyio.create_task_group() as tasks:

            async def ask(output: Output = output, stop: Stop = stop, grace_s: float = grace_s) -> None:
                await output.ready.wait()
                stop.ask("a person", grace_s)

            tasks.start_soon(ask)
            ended = await supervise(process, b"", output, 60, stop)
        assert (ended.outcome, ended.exit, ended.reason) == ("cancelled", exit_, "a person")
        assert output.taken["stdout"] == said


async def test_a_request_to_stop_names_who_asked() -> None:
    output, stop = Output(), Stop()
    script = "trap 'echo bye; exit 7' TERM; echo ready; while :; do sleep 0.05; done"

    async def ask() -> None:
        await output.ready.wait()
        stop.ask("a person", grace_s=60)
        stop.ask("somebody later", grace_s=0)

    async with child(script) as process, anyio.create_task_group() as group:
        group.start_soon(ask)
        ended = await supervise(process, b"", output, 20, stop)
    assert (ended.outcome, ended.reason, ended.exit) == ("cancelled", "a person", ExitStatus(7, None))
    assert b"bye" in output.taken["stdout"]


async def test_a_command_that_ignores_the_request_is_killed_after_the_grace() -> None:
    output, stop = Output(), Stop()

    async def ask() -> None:
        await output.ready.wait()
        stop.ask("a person", grace_s=0.3)

    script = "trap '' TERM; echo ready; while :; do sleep 0.05; done"
    async with child(script) as process, anyio.create_task_group() as group:
        group.start_soon(ask)
        ended = await supervise(process, b"", output, 60, stop)
    assert (ended.outcome, ended.exit) == ("cancelled", ExitStatus(None, signal.SIGKILL))
    assert ended.duration_s >= 0.3


async def test_a_grandchild_that_holds_the_pipe_does_not_hold_the_run() -> None:
    with anyio.fail_after(LONG_S):
        ended, output = await run("sleep 300 & echo $!; exit 0")
    assert ended.exit == ExitStatus(0, None)
    await anyio.run_process(["kill", output.taken["stdout"].decode().strip()])


async def test_the_memory_limit_is_told_apart_from_a_plain_kill() -> None:
    ended, _ = await run("kill -9 $$", limit=Guarantee.MEMORY)
    assert (ended.outcome, ended.reason) == ("oom", "memory limit")
    ended, _ = await run("kill -9 $$")
    assert (ended.outcome, ended.exit) == ("killed", ExitStatus(None, signal.SIGKILL))


async def test_a_sandbox_that_is_lost_under_its_command_is_an_error_by_its_own_name() -> None:
    async with child("sleep 30") as process:
        process.is_lost = True
        with pytest.raises(LauncherError) as error:
            await supervise(process, b"", Output(), 20, Stop())
    assert error.value.code == "sandbox_gone"


async def test_all_that_waits_in_a_sandbox_stands_still_together() -> None:
    standstill = Standstill()
    late: list[float] = []

    async def wait(wall_s: float) -> None:
        with anyio.CancelScope() as scope, standstill.bounds(scope, wall_s):
            await anyio.sleep(30)
        late.append(wall_s)

    async with anyio.create_task_group() as group:
        group.start_soon(wait, 0.1)
        group.start_soon(wait, 0.2)
        await anyio.lowlevel.checkpoint()
        standstill.begin()
        await anyio.sleep(0.4)
        assert late == []
        standstill.end()
    assert late == [0.1, 0.2]
