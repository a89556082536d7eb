"""What methods in launch mode share: they start a named agent, and wrap no command.

The agent's protection is its own, or that of the program that starts it. None of it is ours to measure with
canaries, so nothing is claimed: a policy that needs anything refuses such a method.
"""

from collections.abc import AsyncGenerator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import replace
from typing import ClassVar

import anyio.to_thread

from hutch_launchers.front import PLACE, Start
from hutch_launchers.front_method import FrontMethod, Tool, Traits
from hutch_launchers.launcher import LauncherError, Probe, SandboxProcess
from hutch_launchers.own_paths import OwnPaths, make_own_paths, remove_run_folder
from hutch_launchers.probed import require_for
from hutch_launchers.sources import check_target
from hutch_launchers.spec import Command, SandboxSpec

_PROMISES_NOTHING = "it starts agents, with a protection that is not Hutch's: nothing is promised of it"


class AgentMethod(FrontMethod):
    """An `AgentLauncher` whose process is a child of ours, with the host's paths."""

    __slots__ = ()
    traits: ClassVar[Traits] = Traits(mechanisms={}, abilities=frozenset(), processes=0)

    def named(self, agent: str, command: Command) -> Command:
        """The agent's command, as `adapted` is to be given it. Raises LauncherError."""
        return command

    def adapted(self, command: Command, own: OwnPaths) -> Command:
        """What is to be started on the host for it. Raises LauncherError."""
        mapped = own.command(command)
        return replace(mapped, argv=own.words(command.argv))

    async def probe(self, *, fresh: bool = False) -> Probe:
        try:
            tool = await self.find()
        except LauncherError as error:
            return Probe(self.name, available=False, reason=error.message, fix=error.hint)
        return Probe(self.name, available=True, reason=_PROMISES_NOTHING, version=tool.version)

    def check(self, spec: SandboxSpec) -> None:
        """Refuse a working folder that must not be written: the agent's protection lets it write there."""
        if spec.command is None:
            return
        shown = [mount for mount in spec.mounts if spec.command.cwd.is_relative_to(mount.target)]
        if shown and not shown[-1].writable:
            raise LauncherError(
                "guarantee_missing",
                f"{self.name} cannot keep the agent from writing to its working folder, {shown[-1].source}",
                "choose another method; `hutch doctor` shows what each gives here",
            )

    def prepare(self, tool: Tool, spec: SandboxSpec, held: ExitStack) -> Start:
        for mount in spec.mounts:
            check_target(mount.target)
        own = make_own_paths(spec.run_id, spec.mounts)
        held.callback(remove_run_folder, spec.run_id)
        return Start((PLACE,), spec, adapt=lambda command: self.adapted(command, own))

    async def _require(self, spec: SandboxSpec) -> None:
        raise self._no_command()

    @asynccontextmanager
    async def launch_agent(self, agent: str, spec: SandboxSpec) -> AsyncGenerator[SandboxProcess]:
        """As `AgentLauncher`."""
        if spec.needs:
            raise LauncherError(
                "guarantee_missing",
                f"{self.name} gives none of what the policy needs ({', '.join(sorted(spec.needs))}): "
                + _PROMISES_NOTHING,
                "choose another method; the daemon's owner may allow this one with policy.needs = [] and "
                "policy.force_sandbox = false, and give tiers the needs that other runs are to keep",
            )
        if spec.command is None:
            raise self._no_command()
        require_for(await self.probe(), spec)
        self.check(spec)
        command = self.named(agent, spec.command)
        async with self._launch(replace(spec, command=command)) as process:
            yield process

    async def sweep(self, run_id: str) -> bool:
        found = await FrontMethod.sweep(self, run_id)
        return await anyio.to_thread.run_sync(remove_run_folder, run_id) or found

    def _no_command(self) -> LauncherError:
        return LauncherError(
            "agent_needed",
            f"{self.name} starts named agents and runs no command",
            f"start one with: hutch agent NAME --method {self.name}; commands need another method",
        )
