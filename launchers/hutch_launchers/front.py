"""A front program, which makes a sandbox around a command: held before its start, confined, ended with all.

    gate shell -> front program -> prelude shell, inside -> command

The gate holds the front program until its limits are set. The prelude shell says its greeting on standard
output when the sandbox has been made, and waits for the command's folder and environment: then the sandbox is
there, and nothing of the command has run. That is when doors are opened and mounts are looked at.
"""

import os
import signal
import subprocess
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import anyio

from hutch_launchers import proc
from hutch_launchers.doors import open_doors
from hutch_launchers.freezer import Freezer
from hutch_launchers.launcher import LauncherError
from hutch_launchers.limits import Confinement
from hutch_launchers.local_process import Child, LocalProcess, Pipes, Spawn, Stdio, wait_for_death
from hutch_launchers.prelude import held
from hutch_launchers.reaping import MARK, watch_pids
from hutch_launchers.spec import Command, ExitStatus, SandboxSpec
from hutch_launchers.streams import PipeReader

PLACE = "{command}"
PATH = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"  # all that a front program has in its environment
_START_S = 60.0  # a container on a busy host


def as_it_is(command: Command) -> Command:
    """The command, where paths inside are those of the spec."""
    return command


@dataclass(frozen=True, slots=True)
class Start:
    """A front program's words, of which exactly one is `{command}`, and what else its start takes."""

    argv: Sequence[str]
    spec: SandboxSpec
    env: Mapping[str, str] = field(default_factory=dict)  # of the front program, besides PATH and the mark
    pass_fds: Sequence[int] = ()
    sources: Sequence[int] = ()  # of the spec's mounts, held open: what is mounted is seen to be these
    spawn: Spawn | None = None  # by which the front program is born, within the control group
    is_in_network: bool = False  # the front program itself is in the sandbox's network namespace
    adapt: Callable[[Command], Command] = as_it_is  # a command of the spec, as it is to be started inside


def put_in_place(words: Sequence[str], command: Sequence[str]) -> list[str]:
    """The words with a command's in their place. Nothing is ever put together into one word."""
    place = words.index(PLACE)
    return [*words[:place], *command, *words[place + 1 :]]


Sweep = Callable[[str], Awaitable[bool]]  # end all that is left of a run, by its id


class Front:
    """A front program held before its start, and all that comes of it. Leaving the block ends it."""

    child: Child

    def __init__(
        self,
        start: Start,
        command: Sequence[str],
        stdio: Stdio,
        confinement: Confinement,
        sweep: Sweep,
        *,
        counts_apart: bool,
    ) -> None:
        """`counts_apart`: the sandbox has its own user namespace. Releases the confinement at its end."""
        self.start, self._command, self._stdio, self._sweep = start, list(command), stdio, sweep
        self.confinement = confinement
        self._counts_apart = counts_apart
        self._argv = put_in_place(start.argv, command)
        self._is_bare = start.argv[0] == PLACE
        self.inner: int | None = None  # the host's number of the first process inside, where it is known

    async def __aenter__(self) -> Self:
        spec = self.start.spec
        try:
            self.child = Child(
                held(self._argv),
                env={"PATH": PATH, MARK: spec.run_id, **self.start.env},
                stdio=self._stdio,
                pass_fds=self.start.pass_fds,
                spawn=self._spawn,
            )
        except BaseException:
            await self.confinement.release()
            raise
        try:
            self.confinement.join(self.child.pid)
            if not self._counts_apart:  # else an ordinary user's other processes would count
                self.confinement.restrict(self.child.pid, self.child)
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        with anyio.CancelScope(shield=True):
            try:
                await self.kill()
            finally:
                self.child.close()
                await self.confinement.release()

    def _spawn(self, popen: Callable[[], "subprocess.Popen[bytes]"]) -> "subprocess.Popen[bytes]":
        own = self.start.spawn
        return self.confinement.spawn(popen if own is None else lambda: own(popen))

    async def settle(self) -> None:
        """Find what is inside, set the limits that hold there, open the doors. Raises LauncherError."""
        self.inner = next(self._find_inside(), None)
        egress = self.start.spec.egress
        in_network = self.child.pid if self.start.is_in_network else self.inner
        has_doors = egress is not None and bool(egress.made)
        if self.inner is not None:
            self.confinement.space.hold(self.inner)
            if self._counts_apart:
                self.confinement.restrict(self.inner, self.child)
            self._check_mounts(self.inner)
        elif self._counts_apart or self.start.sources or (has_doors and in_network is None):
            raise LauncherError("sandbox_failed", "the first process of the sandbox was not found")
        if egress is not None and has_doors and in_network is not None:
            await open_doors(in_network, egress)

    def _check_mounts(self, inner: int) -> None:
        """See that a source, looked up by its path once more, was not exchanged in between."""
        mounts = self.start.spec.mounts
        for place, (mount, source) in enumerate(zip(mounts, self.start.sources, strict=False)):
            is_covered = any(mount.target.is_relative_to(later.target) for later in mounts[place + 1 :])
            seen = Path(f"/proc/{inner}/root{mount.target}")
            if not is_covered and not os.path.samestat(seen.lstat(), os.fstat(source)):
                raise LauncherError("sandbox_failed", f"another file came to be {mount.source} at the start")

    def _find_inside(self) -> Iterator[int]:
        """Those that run what we asked to be run inside; a container's are not below its client."""
        below = list(self.descendants())
        for pids in (below, proc.all_pids()):
            for pid in pids:
                if pid != self.child.pid and proc.command_line(pid) == self._command:
                    yield pid

    def descendants(self) -> Iterator[int]:
        """Those that came of the front program; none when the command is its own front."""
        return iter(()) if self._is_bare else proc.descendants(self.child.pid)

    async def wait(self) -> ExitStatus:
        await self.child.wait()
        return self.confinement.mark(self.child.exit_status)

    async def kill(self) -> None:
        """End it and what came of it; leaving the block ends its control group too."""
        # once it is reaped its number may be a stranger's
        below = [] if self.child.has_ended else watch_pids(lambda: proc.descendants(self.child.pid))
        try:
            self.child.kill_group()
            for watch in below:
                watch.send(signal.SIGKILL)
            await self.child.kill_and_reap()
            await wait_for_death(*below)
        finally:
            for watch in below:
                watch.close()
        await self._sweep(self.start.spec.run_id)


async def greet(front: Front, greeting: str, stdout: PipeReader, stderr: PipeReader) -> None:
    """Return when its sandbox stands. Raises LauncherError `sandbox_failed`."""
    said = b""
    with anyio.move_on_after(_START_S):
        with suppress(anyio.EndOfStream):
            while not said.endswith(greeting.encode()):
                said += await stdout.receive()
            stderr.read_rest()  # what the front program had to say is not the command's
            return
        await front.child.wait()  # its last words are then on stderr
    complaint = (stderr.read_rest() or said).decode(errors="replace").strip()
    raise LauncherError(
        "sandbox_failed",
        f"the sandbox could not be made: {complaint[-500:] or 'its front program ended without a word'}",
        "see: hutch doctor",
    )


class FrontProcess(LocalProcess):
    """The command that a front program was started for."""

    def __init__(self, front: Front, pipes: Pipes, *, stays: bool) -> None:
        """`stays`: the shell in front of the command is there as long as the command."""
        super().__init__(front.child, pipes.stdin, pipes.stdout, pipes.stderr)
        self._front, self._stays = front, stays

    async def wait(self) -> ExitStatus:
        return await self._front.wait()

    @property
    def freezer(self) -> Freezer:
        return self._front.confinement.freezer

    def _command_pid(self) -> int | None:
        if self._front.inner is not None:
            return next(iter(proc.children(self._front.inner)), None) if self._stays else self._front.inner
        # many a front program ends all at once when it is asked itself: so the first other program below it
        front = proc.program(self._child.pid)
        below = self._front.descendants()
        return next((pid for pid in below if proc.program(pid) not in (None, front)), self._child.pid)

    async def _kill(self) -> None:
        await self._front.kill()
