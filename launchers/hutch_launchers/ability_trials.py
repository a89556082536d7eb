"""Whether a method can do here what it is made for besides: each ability tried once, in a small sandbox."""

import secrets
import shutil
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import anyio

from hutch_launchers.contract.doorway import ANSWER, doorway
from hutch_launchers.launcher import KeptSandbox, LauncherError, SandboxProcess
from hutch_launchers.measuring import noted
from hutch_launchers.probe import UNFINISHED
from hutch_launchers.spec import Ability, Command, EgressEndpoint, Limits, Mount, SandboxSpec

_ROOT, _AT = PurePosixPath("/"), PurePosixPath("/workspace")
_PATIENCE_S = 20.0  # for all together, on a busy host
_SAID = "here"
_SAY = f"print('{_SAID}', end='')"
_WRITE = f"""
open('mine', 'w').close()
try:
    open('below/theirs', 'w')
except OSError:
    {_SAY}
"""
_COUNT = """
import time
while True:
    print(".", end="", flush=True)
    time.sleep(0.002)
"""
_LOOKS, _QUIET_S = 20, 0.05  # what was written before comes first; then the counter is silent for long
_TIMES = 3  # on a busy host a process may be late to stop
_IN_IMAGE = f"""
import os
if not os.listdir("/usr"):
    {_SAY}
"""
_VISIT = """
import socket, sys
print(socket.create_connection((sys.argv[1], int(sys.argv[2])), 15).recv(99).decode(), end='')
"""


@dataclass(frozen=True, slots=True)
class Trials:
    """What a method brings to be tried."""

    launch: Callable[[SandboxSpec], AbstractAsyncContextManager[SandboxProcess]]
    keep: Callable[[SandboxSpec], AbstractAsyncContextManager[KeptSandbox]]
    python: str  # inside
    env: Mapping[str, str]  # what it needs there
    method: str  # its name
    image: str = ""  # one that is there, with an empty /usr
    image_python: tuple[str, ...] = ()  # the words that start a Python in it

    async def failed(self, claimed: frozenset[Ability]) -> Mapping[Ability, str]:
        """Of what a method claims and is tried here what it cannot do, each with what was seen instead."""
        seen = dict.fromkeys(claimed & _TRIALS.keys(), UNFINISHED)
        place = Path(tempfile.gettempdir(), "hutch-trial-" + secrets.token_hex(4))
        runs = {ability: Path(place, "probe-" + secrets.token_hex(8)) for ability in seen}

        async def run(ability: Ability, folder: Path) -> None:
            try:
                seen[ability] = await _TRIALS[ability](self, folder)
            except LauncherError as error:
                seen[ability] = error.message
            except OSError as error:
                seen[ability] = str(error)

        with noted(self.method, [folder.name for folder in runs.values()], [place]):
            try:
                with anyio.move_on_after(_PATIENCE_S):
                    async with anyio.create_task_group() as all_of_them:
                        for ability, folder in runs.items():
                            folder.mkdir(parents=True)
                            all_of_them.start_soon(run, ability, folder)
            finally:
                shutil.rmtree(place, ignore_errors=True)
        return {ability: reason for ability, reason in seen.items() if reason}

    async def says(
        self,
        folder: Path,
        script: str,
        *words: str,
        mounts: tuple[Mount, ...] = (),
        egress: EgressEndpoint | None = None,
    ) -> str:
        """What a script says in a sandbox that has the folder's name."""
        cwd = mounts[0].target if mounts else _ROOT  # some methods show it at its own path
        command = self.command(script, *words, cwd=cwd)
        async with self.launch(_spec(folder.name, command, mounts, egress)) as process:
            return await _said(process)

    async def says_kept(self, folder: Path, script: str) -> str:
        async with self.keep(_spec(folder.name, None)) as kept, kept.start(self.command(script)) as process:
            return await _said(process)

    def command(self, script: str, *words: str, cwd: PurePosixPath = _ROOT) -> Command:
        argv = (self.python, "-I", "-S", "-c", script, *words)
        return Command(argv, cwd, {"PATH": "/usr/bin:/bin", **self.env})


async def _keep(trials: Trials, folder: Path) -> str:
    said = await trials.says_kept(folder, _SAY)
    return "" if said == _SAID else f"a command in a kept sandbox said {said!r}"


async def _nested(trials: Trials, folder: Path) -> str:
    below = folder / "below"
    below.mkdir()
    mounts = (Mount(folder, _AT, writable=True), Mount(below, _AT / "below"))
    said = await trials.says(folder, _WRITE, mounts=mounts)
    if not (folder / "mine").exists():
        return "nothing could be written beside the path to be protected"
    return "" if said == _SAID and not list(below.iterdir()) else "the path could be written"


async def _doors(trials: Trials, folder: Path) -> str:
    async with doorway(folder) as endpoint:
        (door,) = endpoint.doors
        try:
            said = await trials.says(folder, _VISIT, door.name, str(door.port), egress=endpoint)
        except LauncherError as error:  # not through the doorway's tasks, which make a group of it
            return error.message
    return "" if said == ANSWER.decode() else "the door led nowhere"


async def _freeze(trials: Trials, folder: Path) -> str:
    async with trials.launch(_spec(folder.name, trials.command(_COUNT))) as process:
        await process.stdout.receive()
        for _ in range(_TIMES):
            async with process.frozen() as is_frozen:
                if is_frozen and not await _falls_silent(process):
                    return "it went on while it was held still"
            if is_frozen:
                await process.stdout.receive()
                return ""
    return "it could not be held still"


async def _falls_silent(process: SandboxProcess) -> bool:
    for _ in range(_LOOKS):
        with anyio.move_on_after(_QUIET_S) as wait:
            await process.stdout.receive()
        if wait.cancelled_caught:
            return True
    return False


async def _image(trials: Trials, folder: Path) -> str:
    command = replace(trials.command(_IN_IMAGE), argv=(*trials.image_python, "-I", "-S", "-c", _IN_IMAGE))
    async with trials.launch(replace(_spec(folder.name, command), image=trials.image)) as process:
        said = await _said(process)
    return "" if said == _SAID else f"a command in an image said {said!r}"


_TRIALS: Mapping[Ability, Callable[[Trials, Path], Awaitable[str]]] = {
    Ability.KEEP: _keep,
    Ability.NESTED: _nested,
    Ability.DOORS: _doors,
    Ability.FREEZE: _freeze,
    Ability.IMAGE: _image,
}


def _spec(
    run_id: str,
    command: Command | None,
    mounts: tuple[Mount, ...] = (),
    egress: EgressEndpoint | None = None,
) -> SandboxSpec:
    return SandboxSpec(run_id, command, mounts, Limits(wall_s=_PATIENCE_S), egress, frozenset())


async def _said(process: SandboxProcess) -> str:
    text = bytearray()
    with suppress(anyio.EndOfStream):
        while len(text) < 999:
            text += await process.stdout.receive()
    await process.wait()
    return text.decode(errors="replace")
