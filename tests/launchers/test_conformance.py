"""What every launcher must do, tried on each for real."""

import os
import signal

import anyio
import pytest

from hutch_launchers.containers.launcher import ContainerLauncher
from hutch_launchers.launcher import Launcher, LauncherError
from hutch_launchers.methods.gvisor.launcher import GvisorLauncher
from hutch_launchers.spec import Command, ExitStatus, Guarantee
from support.launcher_leftovers import no_new_fds, nothing_left
from support.launcher_methods import (
    LAUNCHERS,
    available,
    code,
    finish,
    host_pids,
    python,
    read_all,
    read_line,
    run,
    sh,
    spec,
)
from support.streams import LONG_S

pytestmark = pytest.mark.apart("launcher")
OPEN_FDS = """
import os
def is_open(fd):
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True
print([fd for fd in range(256) if is_open(fd)])
"""  # where /proc is hidden too


@pytest.fixture(params=list(LAUNCHERS))
async def launcher(request: pytest.FixtureRequest) -> Launcher:
    return await available(request.param)


async def test_a_command_runs_and_its_output_comes_apart(launcher: Launcher) -> None:
    done = await run(launcher, spec(sh("echo out; echo err >&2")))
    assert (done.status, done.out, done.err) == (code(0), b"out\n", b"err\n")


async def test_a_failing_command_is_a_status_not_an_error(launcher: Launcher) -> None:
    assert (await run(launcher, spec(sh("exit 7")))).status == code(7)


async def test_a_command_that_does_not_exist_is_a_status_not_an_error(launcher: Launcher) -> None:
    done = await run(launcher, spec(Command(("no-such-program",), sh("").cwd, {"PATH": "/usr/bin"})))
    assert done.status == code(127)
    assert b"no-such-program" in done.err


async def test_words_arrive_as_they_are(launcher: Launcher) -> None:
    words = ("-n", "--", "--help", "{command}", "$(id)", "a b", "", "'\"\\", "ü\n\t", ";rm -rf /", "*")
    done = await run(launcher, spec(sh('printf "%s\\0" "$@"', *words)))
    assert done.text.split("\0")[:-1] == list(words)


async def test_the_environment_is_the_given_one_alone(launcher: Launcher) -> None:
    os.environ["PLANTED"] = "host"
    given = {"ODD": "a'b\n\"$HOME` \\", "EMPTY": "", "LD_LIBRARY_PATH": "/nowhere"}
    done = await run(launcher, spec(sh("env -0 | sort -z", env=given)))
    seen = dict(entry.split("=", 1) for entry in done.text.split("\0") if entry)
    extra = {
        "PWD",
        "HUTCH_SANDBOX",
        "OLDPWD",
        "_",
        "SHLVL",
        "TMPDIR",
    }  # a shell's, and the wrapper's own mark
    told = {"GIT_CONFIG_NOSYSTEM": "1"} if launcher.name == "landlock" else {}  # docs/methods.md says why
    assert {k: v for k, v in seen.items() if k not in extra} == {**given, **told, "PATH": "/usr/bin:/bin"}


async def test_standard_input_reaches_the_command_byte_for_byte(launcher: Launcher) -> None:
    data = bytes(range(256)) * 4096
    done = await run_with_concurrent_input(launcher, data)
    assert done == data


async def run_with_concurrent_input(launcher: Launcher, data: bytes) -> bytes:
    output = []
    async with launcher.launch(spec(sh("cat"))) as process, anyio.create_task_group() as tasks:

        async def feed() -> None:
            await process.stdin.send(data)
            await process.stdin.aclose()

        tasks.start_soon(feed)
        output.append(await read_all(process.stdout))
    return output[0]


async def test_fifty_megabytes_of_output_arrive_whole(launcher: Launcher) -> None:
    done = await run(launcher, spec(sh("head -c 50000000 /dev/zero")))
    assert (done.status, len(done.out)) == (code(0), 50_000_000)


async def test_output_that_is_not_text_arrives_as_it_is(launcher: Launcher) -> None:
    assert (await run(launcher, spec(sh("printf '\\377\\000\\376'")))).out == b"\xff\x00\xfe"


async def test_the_command_starts_in_its_working_folder(launcher: Launcher) -> None:
    assert (await run(launcher, spec(sh("pwd", cwd="/usr/bin")))).text == "/usr/bin\n"


async def test_a_signal_is_told_as_far_as_the_method_knows(launcher: Launcher) -> None:
    status = (await run(launcher, spec(sh("kill -KILL $$")))).status
    assert status in (code(137), ExitStatus(code=None, signal=signal.SIGKILL))


async def test_a_status_is_the_same_each_time_it_is_asked_for(launcher: Launcher) -> None:
    async with launcher.launch(spec(sh("exit 9"))) as process:
        assert [await process.wait(), await process.wait()] == [code(9), code(9)]


async def test_waiting_ends_with_the_command_though_a_descendant_holds_its_pipe(launcher: Launcher) -> None:
    async with launcher.launch(spec(sh("sleep 600 & echo started"))) as process:
        assert await read_line(process.stdout) == "started"
        with anyio.fail_after(LONG_S):
            assert await process.wait() == code(0)


async def test_a_polite_stop_lets_the_command_say_goodbye(launcher: Launcher) -> None:
    script = "trap 'echo bye; exit 3' TERM; echo ready; while :; do sleep 0.05; done"
    async with launcher.launch(spec(sh(script))) as process:
        assert await read_line(process.stdout) == "ready"
        await process.stop(grace_s=5)
        assert (await process.wait(), await read_all(process.stdout)) == (code(3), b"bye\n")


async def test_an_interrupt_reaches_the_command_itself(launcher: Launcher) -> None:
    script = "trap 'echo interrupted; exit 7' INT; echo ready; while :; do sleep 0.05; done"
    async with launcher.launch(spec(sh(script))) as process:
        assert await read_line(process.stdout) == "ready"
        await process.interrupt()
        assert (await process.wait(), await read_all(process.stdout)) == (code(7), b"interrupted\n")


async def test_a_command_that_ignores_the_polite_stop_is_killed_after_the_grace(launcher: Launcher) -> None:
    async with launcher.launch(spec(sh("trap '' TERM; echo ready; while :; do sleep 0.05; done"))) as process:
        assert await read_line(process.stdout) == "ready"
        with anyio.fail_after(LONG_S):
            await process.stop(grace_s=0.1)
            await process.stop(grace_s=0.1)
        assert await process.wait() in (code(137), ExitStatus(code=None, signal=signal.SIGKILL))


async def test_a_daemon_that_forked_twice_does_not_outlive_its_sandbox(launcher: Launcher) -> None:
    word = f"{os.urandom(4).hex()}"
    script = f"(setsid sh -c 'exec sleep 60.{int(word, 16)}' >/dev/null 2>&1 &) & wait; echo started"
    sandbox = spec(sh(script))
    async with launcher.launch(sandbox) as process:
        assert (await finish(process)).text == "started\n"
    assert host_pids(f"60.{int(word, 16)}") == []
    assert nothing_left(sandbox.run_id)


async def test_cancelling_leaves_nothing_behind(launcher: Launcher) -> None:
    sandbox = spec(sh("echo ready; exec sleep 60"))
    with no_new_fds():
        async with anyio.create_task_group() as tasks:

            async def victim() -> None:
                async with launcher.launch(sandbox) as process:
                    await read_line(process.stdout)
                    tasks.cancel_scope.cancel()
                    await process.wait()

            tasks.start_soon(victim)
    assert nothing_left(sandbox.run_id)


@pytest.mark.parametrize("delay_ms", [0, 1, 2, 3, 5, 8])
async def test_cancelling_a_start_leaves_nothing_behind(launcher: Launcher, delay_ms: int) -> None:
    sandbox = spec(sh("sleep 60"))
    with no_new_fds(), anyio.move_on_after(delay_ms / 1000):
        async with launcher.launch(sandbox) as process:
            await process.wait()
    assert nothing_left(sandbox.run_id)


async def test_an_error_in_the_block_ends_the_sandbox_and_passes_on(launcher: Launcher) -> None:
    sandbox = spec(sh("sleep 60"))
    with pytest.raises(LookupError):
        async with launcher.launch(sandbox):
            raise LookupError
    assert nothing_left(sandbox.run_id)


async def test_many_runs_leave_no_descriptor(launcher: Launcher) -> None:
    await run(launcher, spec(sh(":")))  # what is opened once stays open
    with no_new_fds():
        for _ in range(3 if isinstance(launcher, ContainerLauncher | GvisorLauncher) else 10):
            assert (await run(launcher, spec(sh(":")))).status == code(0)


async def test_no_descriptor_of_the_host_is_inherited(launcher: Launcher) -> None:
    reader, writer = os.pipe()
    os.set_inheritable(writer, True)
    try:
        done = await run(launcher, spec(python(OPEN_FDS)))
    finally:
        os.close(reader)
        os.close(writer)
    assert done.text == "[0, 1, 2]\n"


@pytest.mark.parametrize(
    "command",
    [
        Command((), sh("").cwd, {}),
        Command(("true", "a\0b"), sh("").cwd, {}),
        Command(("true",), sh("").cwd, {"A": "a\0b"}),
        Command(("true",), sh("").cwd, {"A=B": "c"}),
        Command(("true",), sh("").cwd.relative_to("/"), {}),
        Command(("true", "x" * 200_000), sh("").cwd, {}),
    ],
    ids=["empty", "nul in a word", "nul in a value", "= in a name", "relative folder", "too long"],
)
async def test_a_command_that_no_kernel_takes_is_refused(launcher: Launcher, command: Command) -> None:
    sandbox = spec(command)
    with pytest.raises(LauncherError) as refused:
        await run(launcher, sandbox)
    assert refused.value.code == "command_invalid"
    assert nothing_left(sandbox.run_id)


async def test_a_run_id_that_is_a_path_is_refused(launcher: Launcher) -> None:
    with pytest.raises(LauncherError) as refused:
        await run(launcher, spec(sh(":"), run_id="../escape"))
    assert refused.value.code == "command_invalid"


async def test_a_need_that_is_not_met_is_refused_before_anything_starts(launcher: Launcher) -> None:
    if Guarantee.KERNEL in (await launcher.probe()).guarantees:
        pytest.skip("it gives a kernel of its own, which all others lack")
    with pytest.raises(LauncherError) as refused:
        await run(launcher, spec(sh(":"), needs=frozenset({Guarantee.KERNEL})))
    assert refused.value.code == "guarantee_missing"
    assert "kernel" in refused.value.message
    assert refused.value.hint


async def test_reaping_what_is_not_there_says_so_twice(launcher: Launcher) -> None:
    assert [await launcher.reap("never-was"), await launcher.reap("never-was")] == [False, False]


async def test_a_command_that_ends_at_once_does_not_fail_its_writer(launcher: Launcher) -> None:
    async with launcher.launch(spec(sh("exec 0<&-; echo closed; sleep 0.2"))) as process:
        assert await read_line(process.stdout) == "closed"
        with pytest.raises(anyio.BrokenResourceError):
            await process.stdin.send(b"x" * (8 << 20))


async def test_streams_are_closed_when_the_block_is_left(launcher: Launcher) -> None:
    async with launcher.launch(spec(sh("sleep 60"))) as process:
        pass
    with pytest.raises(anyio.ClosedResourceError):
        await process.stdout.receive()
