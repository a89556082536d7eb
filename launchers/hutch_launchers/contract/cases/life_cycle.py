"""Life cycle: what hostile code can leave behind, and how it ends."""

import secrets
from contextlib import suppress
from pathlib import Path

import anyio

from hutch_launchers.contract.bench import Bench, finish
from hutch_launchers.contract.case import Case, expect
from hutch_launchers.launcher import KeptSandbox, LauncherError
from hutch_launchers.spec import Ability, Guarantee

_PROCESSES = frozenset({Guarantee.PROCESSES})
_KEEP = frozenset({Ability.KEEP})
_GRACE_S = 0.5
_LATE_S = 20.0  # what was killed may take to be gone on a busy host
_SOON_S = 30.0  # the same of what ends by itself: else it would sleep for years

_DAEMONS = (
    "setsid {sleep} & exit 0",
    "(setsid setsid nohup {sleep} >/dev/null 2>&1 </dev/null &) ; exit 3",
    "trap '' HUP TERM INT; (trap '' TERM; {sleep} & {sleep}) & kill -9 $$",
)
_STUBBORN = (
    "trap '' TERM INT HUP; echo ready; while :; do {sleep}; done",
    "echo ready; kill -STOP $$; {sleep}",
    "trap '' TERM; echo ready; kill -STOP 0; {sleep}",
)
_KILL_PARENTS = (
    "import os, signal, ctypes\n"
    "for pid in (1, os.getppid(), -1):\n"
    " for n in (signal.SIGKILL, signal.SIGSTOP, signal.SIGTERM):\n"
    "  if pid == -1 and n == signal.SIGSTOP: continue\n"
    "  try: os.kill(pid, n)\n"
    "  except OSError: pass\n"
    "if ctypes.CDLL(None).vfork() == 0: os._exit(0)\n"
    "print('survived', flush=True)"
)
# the guest is the first process beside pid 1
_GUEST = "g=$(ls /proc | grep '^[0-9]' | sort -n | grep -v '^1$' | head -1); "
_ON_THE_GUEST = (
    "kill -9 $g", "kill -STOP $g", "kill -TERM $g; kill -INT $g; kill -CHLD $g; kill -PIPE $g", "kill -9 -1",
    "for f in /proc/$g/fd/*; do timeout 0.2 head -c 1M /dev/zero > $f; done", "echo 0 > /proc/$g/mem",
    "for f in /proc/$g/fd/*; do timeout 0.2 cat $f; done", "kill -STOP -1",
)  # fmt: skip


async def daemonised(bench: Bench) -> None:
    """Processes that leave their session, their parent and their terminal are gone with their sandbox."""
    mark = _mark()
    for script in _DAEMONS:
        await bench.run(bench.sh(script.format(sleep=f"sleep {mark}")))
        await _gone(mark, script)


async def daemonised_kept(bench: Bench) -> None:
    """In a kept sandbox they live on between commands, and are gone with it."""
    mark = _mark()
    async with bench.keep() as kept:
        async with kept.start(bench.sh(f"setsid sleep {mark} >/dev/null 2>&1 & echo $!")) as process:
            pid = (await finish(process, 20)).out.strip()
        async with kept.start(bench.sh(f"kill -0 {pid} && echo alive")) as process:
            seen = await finish(process, 20)
            expect(seen.out == "alive\n", f"a background process did not outlive its command: {seen.err}")
    await _gone(mark, "a kept sandbox")


async def pipes(bench: Bench) -> None:
    """A descendant that holds the pipes keeps nobody waiting; a command without pipes is waited for."""
    began = anyio.current_time()
    done = await bench.run(bench.sh(f"sleep {_mark()} & echo done"))
    expect(done.out == "done\n" and done.status.code == 0, done)
    expect(anyio.current_time() - began < _SOON_S, "a descendant that held its pipes kept it from ending")
    done = await bench.run(bench.sh("exec >&- 2>&- <&-; sleep 0.3; exit 7"))
    expect(done.status.code == 7, f"a command that closed its pipes ended by {done.ended_by}")


async def sigterm(bench: Bench) -> None:
    """What ignores a request to end, or has stopped itself, is killed when the grace is over."""
    mark = _mark()
    for script in _STUBBORN:
        command = bench.sh(script.format(sleep=f"sleep {mark}"))
        async with bench.launcher.launch(bench.spec(command)) as process:
            await process.stdout.receive()
            began = anyio.current_time()
            with anyio.move_on_after(2 * _SOON_S):
                await process.stop(_GRACE_S)
            took = anyio.current_time() - began
            expect(took < _SOON_S, f"it took {took:.0f} s to end: {script}")
        await _gone(mark, script)


async def pid_1(bench: Bench) -> None:
    """Killing process 1, the parent, or everything ends no more than the sandbox itself."""
    await bench.run(bench.program(_KILL_PARENTS))
    expect((await bench.run(bench.sh("echo alive"))).out == "alive\n", "nothing else could be started")


async def kept_guest(bench: Bench) -> None:
    """Attacks on the program in a kept sandbox that starts its commands cost that sandbox at most."""
    async with bench.keep() as bystander:
        async with anyio.create_task_group() as tasks:
            for script in _ON_THE_GUEST:
                tasks.start_soon(_attack_guest, bench, script)
        async with bystander.start(bench.sh("echo beside")) as process:
            expect((await finish(process, 20)).out == "beside\n", "another kept sandbox was hurt")


async def _attack_guest(bench: Bench, script: str) -> None:
    with anyio.move_on_after(40) as scope:
        async with bench.keep() as kept:
            await _whatever(bench, kept, f"{_GUEST}{script}; true")
            answer = await _whatever(bench, kept, "echo again")
            expect(answer in ("again\n", ""), f"after {script}: {answer!r}")
    expect(not scope.cancelled_caught, f"after {script} it did not end in time")


async def _whatever(bench: Bench, kept: KeptSandbox, script: str) -> str:
    """What a command wrote within a second, if it could be started at all."""
    said = bytearray()
    with suppress(LauncherError), anyio.move_on_after(3):
        async with kept.start(bench.sh(script)) as process:
            with anyio.move_on_after(1), suppress(anyio.EndOfStream):
                while True:
                    said += await process.stdout.receive()
    return said.decode(errors="replace")


def _mark() -> str:
    """Seconds that a process of an attack sleeps, by which this host finds it."""
    return str(10**8 + secrets.randbelow(10**9))


async def _gone(mark: str, what: str) -> None:
    until = anyio.current_time() + _LATE_S
    while (left := _alive(mark)) and anyio.current_time() < until:  # noqa: ASYNC110 - nothing tells of it
        await anyio.sleep(0.02)
    expect(not left, f"process {', '.join(left)} outlived its sandbox: {what}")


def _alive(mark: str) -> list[str]:
    wanted = f"sleep\0{mark}\0".encode()
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            if path.read_bytes() == wanted:
                found.append(path.parent.name)
    return found


CASES = (
    Case("life/daemonised", "A double-forked daemon is gone when its run ends", _PROCESSES, watch=daemonised),
    Case(
        "life/daemonised-kept",
        "A double-forked daemon of a kept sandbox lives in it, and is gone with it",
        _PROCESSES,
        _KEEP,
        daemonised_kept,
    ),
    Case(
        "life/pipes",
        "A descendant that holds the pipes, a command that closes them",
        _PROCESSES,
        watch=pipes,
    ),
    Case(
        "life/sigterm",
        "A process that ignores SIGTERM, or stops itself, is killed within the grace",
        _PROCESSES,
        watch=sigterm,
    ),
    Case("life/pid-1", "Killing the sandbox's own pid 1, vfork, stopped processes", _PROCESSES, watch=pid_1),
    Case(
        "life/kept-guest",
        "A kept sandbox's guest: killed, stopped, signalled, its descriptors opened",
        _PROCESSES,
        _KEEP,
        kept_guest,
    ),
)
