"""Secrets: what was planted outside is nowhere inside, and what goes in is in no command line."""

import os
from pathlib import Path

import anyio

from hutch_launchers.contract.bench import Bench
from hutch_launchers.contract.case import Case, expect
from hutch_launchers.spec import Guarantee

_LOADERS = (
    "LD_PRELOAD", "LD_LIBRARY_PATH", "LD_AUDIT", "GIT_SSH_COMMAND", "NODE_OPTIONS", "BASH_ENV", "ENV",
    "PYTHONSTARTUP", "PYTHONPATH", "PERL5OPT", "RUBYOPT", "GLIBC_TUNABLES",
)  # fmt: skip


_THE_COMMAND = "the-command-itself"  # a word in its argv, for methods without a PID namespace


async def in_no_command_line(bench: Bench) -> None:
    """A value given by the environment arrives inside, and is in no command line of the host."""
    given = f"given-{os.urandom(8).hex()}"
    command = bench.sh('echo "$TOKEN" | cut -c1-5; read x', env={"TOKEN": given})
    async with bench.launcher.launch(bench.spec(command)) as process:
        expect(await process.stdout.receive() == b"given\n", "it did not arrive inside")
        seen = [line for line in _command_lines() if given.encode() in line]
        expect(not seen, f"it is in the command line {seen[:1]!r}")


async def loader_variables(bench: Bench) -> None:
    """What steers a loader steers the inside alone: no program of ours outside has it in its environment."""
    marker = b"/evil-hutch-" + os.urandom(6).hex().encode()
    env = dict.fromkeys(_LOADERS, marker.decode())
    command = bench.sh("echo in; read x", _THE_COMMAND, env=env)
    async with bench.launcher.launch(bench.spec(command)) as process:
        with anyio.fail_after(20):
            said = await process.stdout.receive()
        expect(b"in\n" in said, said)
        found = {name for name, inside in _programs_with(marker) if not inside}
        expect(not found, f"programs outside have them: {sorted(found)}")


def _command_lines() -> list[bytes]:
    return [_read(path) for path in Path("/proc").glob("[0-9]*/cmdline")]


def _programs_with(word: bytes) -> list[tuple[str, bool]]:
    """Programs with `word` in their environment, and whether each is in a sandbox."""
    own = Path("/proc/self/ns/pid").readlink()
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        if word in _read(entry / "environ"):
            try:
                is_command = _THE_COMMAND.encode() in _read(entry / "cmdline")
                inside = is_command or (entry / "ns/pid").readlink() != own
            except OSError:
                inside = True
            found.append((_read(entry / "comm").decode(errors="replace").strip(), inside))
    return found


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


CASES = (
    Case(
        "secrets/planted",
        "A secret of the daemon's environment is found nowhere inside",
        frozenset({Guarantee.FILESYSTEM, Guarantee.PROCESSES}),
    ),
    Case("secrets/command-lines", "What is given to a run is in no command line", watch=in_no_command_line),
    Case(
        "secrets/loader-variables",
        "LD_PRELOAD and its like never reach what runs on the host",
        frozenset({Guarantee.PROCESSES}),
        watch=loader_variables,
    ),
)
