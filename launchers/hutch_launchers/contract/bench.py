"""Commands in sandboxes of the method under attack, and the requests that it must refuse."""

import os
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

import anyio
from anyio.abc import ByteReceiveStream

from hutch_launchers.contract.case import NotApplicableError, NotHeldError
from hutch_launchers.contract.stage import Stage
from hutch_launchers.launcher import KeptSandbox, Launcher, LauncherError, Probe, SandboxProcess
from hutch_launchers.spec import (
    Ability,
    Command,
    Door,
    EgressEndpoint,
    ExitStatus,
    Guarantee,
    Limits,
    Mount,
    SandboxSpec,
)

WORKSPACE, VOLUME = PurePosixPath("/workspace"), PurePosixPath("/vol")
LIMITS = Limits(wall_s=120, memory_bytes=512 << 20, pids=128, cpus=1.0, disk_bytes=64 << 20)
_PATH = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
_MAX_OUTPUT = 8 << 20
_DRAIN_S = 1.0  # what a descendant left may hold a pipe


@dataclass(frozen=True, slots=True)
class Done:
    """A command that has ended."""

    status: ExitStatus
    out: str
    err: str

    @property
    def ended_by(self) -> str:
        return f"signal {self.status.signal}" if self.status.code is None else f"exit {self.status.code}"


@dataclass(frozen=True, slots=True)
class Bench:
    """A method, what was measured of it, and the stage around its sandboxes."""

    launcher: Launcher
    probe: Probe
    stage: Stage
    python: str = "/usr/bin/python3"  # inside
    _said: dict[str, str] = field(default_factory=dict)  # refusals, asked for once each

    @property
    def needs(self) -> frozenset[Guarantee]:
        """What is asked of every sandbox here: all that was measured to hold."""
        return self.probe.guarantees

    def lacks(self, needs: frozenset[Guarantee], uses: frozenset[Ability]) -> str:
        """The first that the method has not; empty: it has all."""
        missing = [*sorted(needs - self.probe.guarantees), *sorted(uses - self.probe.abilities)]
        return str(missing[0]) if missing else ""

    def spec(
        self,
        command: Command | None,
        *,
        mounts: tuple[Mount, ...] = (),
        limits: Limits = LIMITS,
        egress: EgressEndpoint | None = None,
        needs: frozenset[Guarantee] | None = None,
    ) -> SandboxSpec:
        run_id = f"contract-{os.urandom(6).hex()}"
        return SandboxSpec(run_id, command, mounts, limits, egress, self.needs if needs is None else needs)

    def sh(self, script: str, *words: str, env: Mapping[str, str] | None = None) -> Command:
        """A command of the sandbox's shell, `words` being its `$1`, `$2` and so on."""
        return self.command("/bin/sh", "-c", script, "sh", *words, env=env)

    def program(self, text: str, *words: str, env: Mapping[str, str] | None = None) -> Command:
        """A Python program of the sandbox's, sent along as text."""
        return self.command(self.python, "-I", "-c", text, *words, env=env)

    def command(self, *argv: str, env: Mapping[str, str] | None = None) -> Command:
        given = {"PATH": _PATH, "HOME": "/home/agent", "TMPDIR": "/tmp", "HUTCH_GIVEN": "given"}
        return Command(argv, PurePosixPath("/tmp"), {**given, **(env or {})})

    async def run(self, command: Command, *, within_s: float = 90, **asked: Any) -> Done:
        """Run a command to its end. Raises NotHeldError when it does not come to one in time."""
        spec = self.spec(command, **asked)
        async with self.launcher.launch(spec) as process:
            return await finish(process, within_s)

    @asynccontextmanager
    async def keep(self, **asked: Any) -> AsyncGenerator[KeptSandbox]:
        async with self.launcher.keep(self.spec(None, **asked)) as kept:
            yield kept

    async def refuses(self, missing: str) -> str:
        """Ask for what the method has not, and return how it refuses. Raises NotHeldError if it starts."""
        if missing not in self._said:
            self._said[missing] = await self._refuses(missing)
        return self._said[missing]

    async def _refuses(self, missing: str) -> str:
        trace = self.stage.folder / f"executed-{missing}"
        command = self.command("/bin/touch", str(trace))
        source = self.stage.folder / "granted"
        source.mkdir(exist_ok=True)
        spec = self.spec(command, mounts=(Mount(source, PurePosixPath("/granted"), writable=True),))
        try:
            spec = _asking(missing, spec, source)
            started = self.launcher.keep(spec) if missing == Ability.KEEP else self.launcher.launch(spec)
            with anyio.move_on_after(20):
                async with started:
                    pass
        except LauncherError as error:
            if trace.exists():
                raise NotHeldError(f"it was executed, and then refused: {error.message}") from error
            if error.code not in ("guarantee_missing", "sandbox_failed"):
                raise NotHeldError(f"{error.code}: {error.message}") from error
            return error.message
        raise NotHeldError(f"a sandbox that needs '{missing}' was started all the same")


def _asking(missing: str, spec: SandboxSpec, source: Path) -> SandboxSpec:
    """The spec that cannot be given."""
    if missing in list(Guarantee):
        return replace(spec, needs=frozenset({Guarantee(missing)}))
    below, (mount,) = source / "below", spec.mounts
    below.mkdir(exist_ok=True)
    match Ability(missing):
        case Ability.KEEP:
            return replace(spec, command=None)
        case Ability.NESTED:
            return replace(spec, mounts=(mount, Mount(below, mount.target / "below")))
        case Ability.DOORS:
            door = Door("localhost", "127.0.0.1", 9)
            return replace(spec, egress=EgressEndpoint(source / "no.sock", (door,)))
        case Ability.OVERLAY:
            upper, work = source.parent / "upper", source.parent / "work"
            upper.mkdir(exist_ok=True)
            work.mkdir(exist_ok=True)
            return replace(spec, mounts=(replace(mount, writable=False, upper=upper, work=work),))
        case Ability.IMAGE:
            return replace(spec, image="no-such-image")
        case Ability.FREEZE:
            raise NotApplicableError("nothing can need it")


async def finish(process: SandboxProcess, within_s: float) -> Done:
    """Give it no input, read what it writes, wait for its end."""
    out, err = bytearray(), bytearray()
    with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
        await process.stdin.aclose()
    status: ExitStatus | None = None
    async with anyio.create_task_group() as readers:
        readers.start_soon(read, process.stdout, out)
        readers.start_soon(read, process.stderr, err)
        with anyio.move_on_after(within_s):
            status = await process.wait()
        readers.cancel_scope.deadline = anyio.current_time() + _DRAIN_S
    if status is None:
        raise NotHeldError(f"it did not end within {within_s:.0f} s")
    return Done(status, out.decode(errors="replace"), err.decode(errors="replace"))


async def read(stream: ByteReceiveStream, into: bytearray) -> None:
    """Take what comes, to the end; what is too much is dropped."""
    with suppress(anyio.EndOfStream, anyio.ClosedResourceError, anyio.BrokenResourceError):
        while True:
            into += (await stream.receive())[: max(_MAX_OUTPUT - len(into), 0)]
