"""The method `bubblewrap`: namespaces, a filter and limits around one command, by an unprivileged program."""

import os
from collections.abc import AsyncGenerator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from hutch_launchers.bubble import Bubble, BubbleProcess, Start, start_bubble
from hutch_launchers.bwrap_argv import Options
from hutch_launchers.bwrap_binary import find_bwrap
from hutch_launchers.launcher import LauncherError, SandboxProcess
from hutch_launchers.limits import Confinement
from hutch_launchers.local_process import open_pipes
from hutch_launchers.spec import SandboxSpec
from hutch_launchers.system_view import look, private_proc_files


@dataclass(frozen=True, slots=True)
class BubblewrapLauncher:
    """Configuration only."""

    bwrap: Path | None = (
        None  # None: the system's at /usr/bin, which AppArmor profiles name, else the wheel's
    )
    system: tuple[str, ...] = ("/usr",)  # host folders that hold programs, read-only at their own paths
    readable: tuple[str, ...] = ()  # further host paths to read, each at its own path

    @property
    def name(self) -> str:
        return "bubblewrap"

    @asynccontextmanager
    async def launch(self, spec: SandboxSpec) -> AsyncGenerator[SandboxProcess]:
        if spec.command is None:
            raise LauncherError(
                "command_invalid", "a launch needs a command; `keep` starts a sandbox without one"
            )
        confinement = Confinement(spec.limits, spec.run_id)
        try:
            start = Start(
                binary=await find_bwrap(self.bwrap),
                options=self._options(),
                spec=spec,
                confinement=confinement,
                argv=spec.command.argv,
                cwd=spec.command.cwd,
                env=spec.command.env,
            )
            process = await _start(start)
            try:
                yield process
            finally:
                await process.aclose()
        finally:
            await confinement.release()

    def _options(self) -> Options:
        return Options(
            view=look(self.system),
            readable=self.readable,
            masked=private_proc_files() if os.geteuid() == 0 else (),
        )


async def _start(start: Start) -> BubbleProcess:
    with ExitStack() as child_ends:
        pipes = open_pipes(child_ends)
        try:
            bubble = await start_bubble(start, pipes.child, pipes.stderr, _prepare)
        except BaseException:
            pipes.close()
            raise
    return BubbleProcess(bubble, pipes, start.confinement)


async def _prepare(bubble: Bubble) -> None:
    """Nothing to set up inside."""
