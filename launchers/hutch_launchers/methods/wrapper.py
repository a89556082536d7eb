"""The method `wrapper`: any program that runs a command. It gives what the canaries show it to give, no more.

The words of the command take the place of the one word `{command}`, each as a word of its own. In front of
them stands a shell of the sandbox, to which the working folder and the environment come on standard input,
before the command's own (`prelude`). So the wrapper must pass standard input on, and there must be a POSIX
shell inside. What it adds to the environment stays, and so does `HUTCH_SANDBOX`, by which what is left over
is found.
"""

import shutil
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import ClassVar, Literal

from hutch_launchers.brought import brought_bwrap
from hutch_launchers.front import PATH, PLACE, Start
from hutch_launchers.front_method import FrontMethod, Tool, Traits
from hutch_launchers.interpreter import Interpreter
from hutch_launchers.launcher import Evidence, LauncherError
from hutch_launchers.spec import Ability, Guarantee, SandboxSpec

_BWRAP = "bwrap"  # the host's, else the one that is brought along


@dataclass(frozen=True, slots=True)
class WrapperLauncher(FrontMethod):
    """Configuration only. Raises ValueError for a command without exactly one `{command}`."""

    traits: ClassVar[Traits] = Traits(
        mechanisms=dict.fromkeys(
            (
                Guarantee.FILESYSTEM,
                Guarantee.NETWORK,
                Guarantee.PROCESSES,
                Guarantee.SYSCALLS,
                Guarantee.DISK,
            ),
            "the wrapper",
        ),
        abilities=frozenset({Ability.KEEP, Ability.FREEZE}),
        greets=False,  # it may say what it likes
    )

    command: tuple[str, ...]
    name: str = "wrapper"
    platforms: tuple[str, ...] = ("linux",)
    paths: Literal["same"] | Mapping[str, str] = "same"  # or a host folder -> where it is inside
    python: str = "/usr/bin/python3"  # inside; for kept sandboxes and to be probed
    probe_cache: Path | None = None

    def __post_init__(self) -> None:
        if self.command.count(PLACE) != 1 or self.command[0] == "":
            raise ValueError(f"a wrapper's command is a program and exactly one word {PLACE!r}")

    async def find(self) -> Tool:
        if sys.platform not in self.platforms:
            raise LauncherError("method_unavailable", f"not configured for {sys.platform}")
        program = shutil.which(self.command[0], path=PATH) if self.command[0] != PLACE else sys.executable
        if program is None and self.command[0] == _BWRAP and (brought := brought_bwrap()):
            program = str(brought)
        if program is None:
            reason = f"the program {self.command[0]!r} is not installed"
            raise LauncherError("method_unavailable", reason, f"install it, or name its path ({PATH})")
        return Tool(program)

    def prepare(self, tool: Tool, spec: SandboxSpec, held: ExitStack) -> Start:
        argv = (tool.path, *self.command[1:]) if self.command[0] == _BWRAP else self.command
        return Start(argv, spec)

    def interpreter(self) -> Interpreter:
        return Interpreter(self.python)

    def judge(self, evidence: Mapping[Guarantee, Evidence]) -> Mapping[Guarantee, Evidence]:
        """Without those limits that hold only whoever does not leave."""
        if evidence[Guarantee.PROCESSES].held:
            return evidence
        left = Evidence(
            held=False, mechanism="", detail="processes may leave the wrapper's, and its limits with it"
        )
        return {**evidence, **dict.fromkeys((Guarantee.MEMORY, Guarantee.PIDS, Guarantee.CPU), left)}

    def check(self, spec: SandboxSpec) -> None:
        for mount in spec.mounts:
            if self._inside(mount.source) != mount.target:
                raise LauncherError(
                    "sandbox_failed",
                    f"{self.name} cannot show {mount.source} at {mount.target}",
                    f"let the wrapper show it there, and say so in the method's paths: "
                    f'paths = {{"{mount.source}" = "{mount.target}"}}',
                )
            if not mount.writable and Guarantee.FILESYSTEM in spec.needs:
                raise LauncherError(
                    "guarantee_missing", f"{self.name} cannot promise that {mount.target} is only read"
                )

    def _inside(self, source: Path) -> PurePosixPath:
        """Where a path of the host is inside."""
        if self.paths != "same":
            for outside, inside in self.paths.items():
                if source.is_relative_to(outside):
                    return PurePosixPath(inside) / source.relative_to(outside)
        return PurePosixPath(source)
