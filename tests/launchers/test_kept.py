"""A sandbox that stays, with code inside that does not want it to."""

import os
import signal
from collections.abc import AsyncGenerator
from pathlib import Path

import anyio
import pytest

from hutch_launchers.containers.launcher import ContainerLauncher
from hutch_launchers.hierarchy import find_hierarchy
from hutch_launchers.launcher import KeptSandbox, Launcher, LauncherError
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
    read_line,
    sh,
    spec,
)
from support.streams import LONG_S

KILLED = ExitStatus(code=None, signal=signal.SIGKILL)


@pytest.fixture(params=[name for name in LAUNCHERS if name != "firejail"])  # it keeps none
async def launcher(request: pytest.FixtureRequest) -> Launcher:
    return await available(request.param)


@pytest.fixture
async def kept() -> AsyncGenerator[KeptSandbox]:
    await available("bubblewrap")
    async with LAUNCHERS["bubblewrap"].keep(spec(None)) as sandbox:
        yield sandbox


async def run(kept: KeptSandbox, command: Command, stdin: bytes = b"") -> tuple[ExitStatus, bytes, bytes]:
    async with kept.start(command) as process:
        done = await finish(process, stdin)
        return done.status, done.out, done.err


async def until_nothing_sleeps(kept: KeptSandbox) -> None:
    """A process that was sent SIGKILL ends a moment later."""
    with anyio.fail_after(LONG_S):
        while b"sleep" in (await run(kept, sh("cat /proc/[0-9]*/cmdline | tr '\\0' ' '")))[1]:
            pass


async def test_commands_share_one_sandbox(launcher: Launcher) -> None:
    sandbox = spec(None)
    word = os.urandom(4).hex()
    async with launcher.keep(sandbox) as kept:
        assert await run(kept, sh(f"cat > ${{TMPDIR:-/tmp}}/{word}"), b"kept") == (code(0), b"", b"")
        assert await run(kept, sh(f"cd ${{TMPDIR:-/tmp}}; cat {word}; rm {word}; exit 3")) == (
            code(3),
            b"kept",
            b"",
        )
    assert nothing_left(sandbox.run_id)


async def test_a_command_has_its_words_folder_and_environment_alone(launcher: Launcher) -> None:
    async with launcher.keep(spec(None)) as kept:
        given = {"PATH": "/usr/bin", "A": "ü\n'\""}
        words = ("env", "-0")
        status, out, _ = await run(kept, Command(words, sh("").cwd, given))
        seen = dict(entry.split("=", 1) for entry in out.decode().split("\0")[:-1])
        seen.pop("HUTCH_SANDBOX", None)  # the wrapper's own mark
        seen.pop("TMPDIR", None)  # of a method that has no /tmp of its own
        seen.pop("GIT_CONFIG_NOSYSTEM", None)  # of one that shows no /etc of its own
        assert (status, seen) == (code(0), given)
        assert (await run(kept, sh("pwd", cwd="/usr"))) == (code(0), b"/usr\n", b"")


async def test_a_signal_is_told_from_a_code(kept: KeptSandbox) -> None:
    assert (await run(kept, sh("exit 137")))[0] == code(137)
    assert (await run(kept, sh("kill -KILL $$")))[0] == KILLED


async def test_what_cannot_be_started_is_a_status(kept: KeptSandbox) -> None:
    cwd, env = sh("").cwd, {"PATH": "/usr/bin"}
    assert (await run(kept, Command(("nosuch",), cwd, env)))[0] == code(127)
    assert (await run(kept, Command(("/etc/passwd",), cwd, env)))[0] == code(126)
    assert (await run(kept, sh("", cwd="/nosuch")))[0] == code(127)
    assert (await run(kept, sh("echo on")))[1] == b"on\n"


async def test_a_command_inherits_no_descriptor_of_the_guest_or_of_others(kept: KeptSandbox) -> None:
    async with kept.start(sh("cat")):
        _, out, _ = await run(kept, sh("ls /proc/self/fd"))
        assert out.split() == [b"0", b"1", b"2", b"3"]  # the third is ls's own


async def test_two_hundred_commands_in_a_row_leave_nothing(kept: KeptSandbox) -> None:
    await run(kept, sh(":"))
    with no_new_fds():
        for number in range(200):
            assert await run(kept, sh(f"echo {number}")) == (code(0), f"{number}\n".encode(), b"")


async def test_commands_run_at_the_same_time(kept: KeptSandbox) -> None:
    seen = []

    async def one(number: int) -> None:
        seen.append(await run(kept, sh("read -r line; echo $line"), f"{number}\n".encode()))

    with anyio.fail_after(LONG_S):
        async with anyio.create_task_group() as tasks:
            for number in range(12):
                tasks.start_soon(one, number)
    assert sorted(out for _, out, _ in seen) == sorted(f"{number}\n".encode() for number in range(12))


async def test_stopping_a_command_leaves_the_sandbox(kept: KeptSandbox) -> None:
    async with kept.start(
        sh("trap '' TERM; (trap '' TERM; sleep 61) & echo ready; wait; sleep 62")
    ) as process:
        await read_line(process.stdout)
        await process.stop(grace_s=0.1)
        assert await process.wait() == KILLED
    await until_nothing_sleeps(kept)


async def test_a_polite_stop_reaches_the_command(kept: KeptSandbox) -> None:
    async with kept.start(sh("trap 'exit 5' TERM; echo ready; while :; do sleep 0.05; done")) as process:
        await read_line(process.stdout)
        await process.stop(grace_s=5)
        assert await process.wait() == code(5)


async def test_leaving_a_command_that_still_runs_kills_it_with_all_it_started(kept: KeptSandbox) -> None:
    async with kept.start(sh("setsid sleep 63 & echo ready; wait")) as process:
        await read_line(process.stdout)
    await until_nothing_sleeps(kept)


async def test_what_a_command_left_running_lives_until_the_sandbox_ends(launcher: Launcher) -> None:
    if isinstance(launcher, GvisorLauncher):
        pytest.skip("the host sees none of its processes")
    word = f"64.{os.getpid()}{os.urandom(2).hex()}".translate(str.maketrans("abcdef", "123456"))
    async with launcher.keep(spec(None)) as kept:
        async with kept.start(sh(f"sleep {word} & echo started")) as process:
            assert await read_line(process.stdout) == "started"
            with anyio.fail_after(LONG_S):
                assert await process.wait() == code(0)
        with anyio.fail_after(LONG_S):
            while len(host_pids(word)) != 1:  # on its way from the shell's program to its own
                await anyio.sleep(0.01)
    assert host_pids(word) == []


async def test_a_killed_guest_is_a_sandbox_gone_and_never_a_hang(launcher: Launcher) -> None:
    sandbox = spec(None)
    with anyio.fail_after(LONG_S):
        async with launcher.keep(sandbox) as kept:
            script = "read -r go; kill -KILL $PPID; [ $PPID != 1 ] || exit 9; sleep 600"
            async with kept.start(sh(script)) as process:
                await process.stdin.send(b"go\n")
                # Its guest is process 1: nobody inside can kill it
                if isinstance(launcher, ContainerLauncher):
                    assert await process.wait() == code(9)
                    return
                with pytest.raises(LauncherError) as gone:
                    await process.wait()
            assert gone.value.code == "sandbox_gone"
            with pytest.raises(LauncherError) as still:
                await run(kept, sh(":"))
            assert still.value.code == "sandbox_gone"
            await kept.wait()
    assert nothing_left(sandbox.run_id)


async def test_a_stopped_guest_loses_the_sandbox_when_a_command_must_end(
    kept: KeptSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hutch_launchers.guest_link._DEATH_S", 0.3)
    with anyio.fail_after(LONG_S):
        async with kept.start(sh("read -r go; kill -STOP $PPID; echo stopped; sleep 600")) as process:
            await process.stdin.send(b"go\n")
            assert await read_line(process.stdout) == "stopped"
            await process.stop(grace_s=0.1)
        await kept.wait()


async def test_the_guest_s_socket_cannot_be_taken_from_it(kept: KeptSandbox) -> None:
    source = """
import os, socket
for name in os.listdir("/proc/2/fd"):
    try:
        if "socket" in os.readlink("/proc/2/fd/" + name):
            print("found")
            os.open("/proc/2/fd/" + name, os.O_RDWR)
            print("opened")
    except OSError:
        pass
try:
    import ctypes
    libc = ctypes.CDLL(None, use_errno=True)
    pidfd = libc.syscall(434, 2, 0)
    print("taken" if libc.syscall(438, pidfd, 3, 0) >= 0 else "refused")
except OSError:
    pass
"""
    _, out, err = await run(kept, python(source))
    assert set(out.split()) <= {b"found", b"refused"}, err


async def test_a_memory_balloon_ends_only_its_command(kept: KeptSandbox) -> None:
    source = "x = bytearray(1 << 30); x[::4096] = x[::4096]; print(len(x))"
    status, out, err = await run(kept, python(source))
    if find_hierarchy():
        assert (status, out) == (ExitStatus(code=None, signal=signal.SIGKILL, limit=Guarantee.MEMORY), b"")
    else:
        assert (status, out, b"MemoryError" in err) == (code(1), b"", True)
    assert (await run(kept, sh("exit 9")))[0] == code(9)


async def test_cancelling_a_start_leaves_the_sandbox_usable(kept: KeptSandbox) -> None:
    for _ in range(5):
        with anyio.move_on_after(0.001):
            async with kept.start(sh("sleep 600")) as process:
                await process.wait()
    assert await run(kept, sh("echo on")) == (code(0), b"on\n", b"")


async def test_the_daemon_s_own_python_serves_where_the_system_has_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("hutch_launchers.interpreter._SYSTEM", Path("/usr/bin/no-python"))
    async with LAUNCHERS["bubblewrap"].keep(spec(None)) as kept:
        assert await run(kept, sh("echo on")) == (code(0), b"on\n", b"")
