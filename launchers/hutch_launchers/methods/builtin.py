"""The method `builtin`: an agent on the host, held by its own sandbox, which its adapter switches on.

The agent itself is not held, only what it starts, and that as far as the agent's makers keep it. It sees the
host's paths, files and network.
"""

import os
import shutil
import sys
from dataclasses import dataclass, replace
from pathlib import Path

from hutch_launchers.agent_method import AgentMethod
from hutch_launchers.brought import brought_bwrap
from hutch_launchers.front import PATH
from hutch_launchers.front_method import Tool
from hutch_launchers.launcher import LauncherError
from hutch_launchers.own_paths import OwnPaths
from hutch_launchers.spec import Command

_PACKAGES = {"bwrap": "bubblewrap"}


@dataclass(frozen=True, slots=True)
class BuiltinLauncher(AgentMethod):
    """Configuration only."""

    name: str = "builtin"
    programs: tuple[str, ...] = ("bwrap", "socat")  # what the agents' sandboxes are made of
    probe_cache: Path | None = None

    @property
    def is_agents_own(self) -> bool:
        return True

    async def find(self) -> Tool:
        if sys.platform != "linux":
            raise LauncherError("method_unavailable", f"Hutch has no way to hold a process on {sys.platform}")
        path = _search_path()
        for program in self.programs:
            if shutil.which(program, path=path) is None:
                raise LauncherError(
                    "method_unavailable",
                    f"the program {program!r}, of which agents make their sandboxes, is not installed",
                    f"apt install {_PACKAGES.get(program, program)}",
                )
        return Tool("/bin/sh")

    def adapted(self, command: Command, own: OwnPaths) -> Command:
        mapped = AgentMethod.adapted(self, command, own)
        return replace(mapped, env={**mapped.env, "PATH": _search_path(mapped.env.get("PATH", PATH))})


def _search_path(path: str = PATH) -> str:
    """Where an agent looks for its sandbox's programs: the host's first, then what came with Hutch."""
    brought = brought_bwrap()
    return os.pathsep.join((path, str(brought.parent))) if brought else path
