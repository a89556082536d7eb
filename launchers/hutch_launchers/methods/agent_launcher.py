"""The method `launcher`: a program that starts a named agent in a sandbox of its own, as Docker's `sbx` does.

It gets the agent's name, its working folder and its arguments, and nothing of its environment: what the agent
needs besides, such as a login, is that program's to give.
"""

import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import anyio

from hutch_launchers.agent_method import AgentMethod
from hutch_launchers.front import PATH
from hutch_launchers.front_method import Tool
from hutch_launchers.launcher import LauncherError
from hutch_launchers.own_paths import OwnPaths
from hutch_launchers.spec import Command

AGENT, WORKSPACE, ARGS, RUN = "{agent}", "{workspace}", "{args}", "{run}"
_REMOVE_S = 60.0  # for a virtual machine to be taken down


@dataclass(frozen=True, slots=True)
class AgentLauncherProgram(AgentMethod):
    """Configuration only. Raises ValueError for a command without its places."""

    command: tuple[str, ...]
    name: str = "launcher"
    platforms: tuple[str, ...] = ("linux",)
    agents: tuple[str, ...] = ("claude",)  # that it can start
    remove: tuple[str, ...] = ()  # what takes away the sandbox of a run, told by `{run}`
    probe_cache: Path | None = None

    def __post_init__(self) -> None:
        for place in (AGENT, WORKSPACE, ARGS):
            if self.command.count(place) != 1:
                raise ValueError(f"a launcher's command has exactly one word {place!r}")
        if self.remove and (RUN not in self.remove or RUN not in self.command):
            raise ValueError(f"what is removed must be named: {RUN!r} stands in 'command' and in 'remove'")

    @property
    def is_agents_own(self) -> bool:
        return False

    async def find(self) -> Tool:
        if sys.platform not in self.platforms:
            raise LauncherError("method_unavailable", f"not configured for {sys.platform}")
        program = shutil.which(self.command[0], path=PATH)
        if program is None:
            raise LauncherError(
                "method_unavailable",
                f"the program {self.command[0]!r} is not installed",
                f"install it, or name its path ({PATH})",
            )
        return Tool(program)

    def named(self, agent: str, command: Command) -> Command:
        if agent not in self.agents:
            raise LauncherError(
                "agent_needed",
                f"{self.name} does not start an agent {agent!r}",
                f"it starts: {', '.join(self.agents)}",
            )
        return replace(command, argv=(agent, *command.argv[1:]))

    def adapted(self, command: Command, own: OwnPaths) -> Command:
        agent, *words = command.argv
        mapped = AgentMethod.adapted(self, command, own)
        for before, after in zip(words, mapped.argv[1:], strict=True):
            if before != after and not Path(after).is_relative_to(mapped.cwd):
                raise LauncherError(
                    "sandbox_failed",
                    f"{self.name} shows the agent its working folder alone, and not {before}",
                    "leave out instructions and skills, or choose another method",
                )
        argv = launcher_argv(self.command, agent, str(mapped.cwd), mapped.argv[1:], _name(own.run_id))
        return replace(mapped, argv=argv, env=_environment())

    async def sweep(self, run_id: str) -> bool:
        found = await AgentMethod.sweep(self, run_id)
        if self.remove and shutil.which(self.remove[0], path=PATH):
            await self._remove([_name(run_id) if word == RUN else word for word in self.remove])
        return found

    async def _remove(self, words: list[str]) -> None:
        try:
            with anyio.fail_after(_REMOVE_S):
                await anyio.run_process(words, env=_environment(), check=False)
        except (OSError, TimeoutError) as error:
            raise LauncherError(
                "sandbox_failed",
                f"{self.name} could not take away a sandbox: {error!r}",
                f"do it by hand: {' '.join(words)}",
            ) from error


def launcher_argv(
    template: Sequence[str], agent: str, workspace: str, args: Sequence[str], run: str
) -> tuple[str, ...]:
    """The words that start an agent: each place is a whole word, no two are put together."""
    places = {AGENT: agent, WORKSPACE: workspace, RUN: run}
    words: list[str] = []
    for word in template:
        words += args if word == ARGS else [places.get(word, word)]
    return tuple(words)


def _environment() -> dict[str, str]:
    """Of the program, which is the daemon user's own: it finds its settings and logins."""
    return {"PATH": PATH, "HOME": str(Path.home())}


def _name(run_id: str) -> str:
    return f"hutch-{run_id}"
