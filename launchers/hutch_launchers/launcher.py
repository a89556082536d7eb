"""The two protocols between the daemon and a sandbox method, and what a method says of itself."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from anyio.abc import ByteReceiveStream, ByteSendStream

from hutch_launchers.freezer import Freezer
from hutch_launchers.spec import Ability, Command, ExitStatus, Guarantee, SandboxSpec


class LauncherError(Exception):
    """A sandbox that cannot be given; never the failure of a command inside one.

    Codes: `method_unavailable`, `guarantee_missing`, `sandbox_failed`, `sandbox_gone`, `command_invalid`,
    `agent_needed`.
    """

    def __init__(self, code: str, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Evidence:
    """What one canary showed."""

    held: bool
    mechanism: str  # what enforces it here: "user namespace", "cgroup v1", "rlimit", ...
    detail: str  # what was tried and seen; when not held, why


@dataclass(frozen=True, slots=True)
class Probe:
    """What a method can give on this host, and on what evidence."""

    method: str
    available: bool
    reason: str = ""  # when not available: why; else what is particular to it
    fix: str = ""  # the exact command or setting that would mend it
    version: str = ""
    evidence: Mapping[Guarantee, Evidence] = field(default_factory=dict)
    abilities: frozenset[Ability] = frozenset()
    unable: Mapping[Ability, str] = field(default_factory=dict)  # what it is made for and cannot do here: why

    @property
    def guarantees(self) -> frozenset[Guarantee]:
        return frozenset(g for g, shown in self.evidence.items() if shown.held)


class SandboxProcess(Protocol):
    """A running command. Streams end when it and all that hold its pipes end, or when the block is left."""

    @property
    def pid(self) -> int | None:
        """The host's pid of the front process, for a person's eyes and for the freezer; None: not known."""

    @property
    def stdin(self) -> ByteSendStream: ...
    @property
    def stdout(self) -> ByteReceiveStream: ...
    @property
    def stderr(self) -> ByteReceiveStream: ...

    async def wait(self) -> ExitStatus:
        """Return when the command itself has ended, even while a descendant holds a pipe."""

    async def interrupt(self) -> None:
        """Send SIGINT to the command itself, if it has begun and not ended. Bounded only by the caller."""

    async def stop(self, grace_s: float) -> None:
        """Ask the command itself to end (SIGTERM); after `grace_s` seconds kill all of it. Idempotent."""

    def frozen(self) -> AbstractAsyncContextManager[bool]:
        """Hold all of it still for the length of the block, a second at most; False: it could not be."""


@runtime_checkable
class Suspendable(Protocol):
    """A process or a kept sandbox that can be held still for as long as anybody likes."""

    @property
    def freezer(self) -> Freezer: ...


class KeptSandbox(Protocol):
    """A sandbox that stays and takes further commands."""

    def start(self, command: Command) -> AbstractAsyncContextManager[SandboxProcess]:
        """Start one more command in it. Raises LauncherError `sandbox_gone`."""

    async def wait(self) -> ExitStatus:
        """Return when the sandbox as a whole has ended, for whatever reason."""

    def frozen(self) -> AbstractAsyncContextManager[bool]:
        """Hold all of it still for the length of the block, a second at most; False: it could not be."""


class Launcher(Protocol):
    """A sandbox method. Configuration only; one instance serves all runs."""

    @property
    def name(self) -> str: ...

    async def probe(self, *, fresh: bool = False) -> Probe:
        """Measure on this host by canaries. Never raises.

        Cached by configuration, kernel and binary unless `fresh`.
        """

    def launch(self, spec: SandboxSpec) -> AbstractAsyncContextManager[SandboxProcess]:
        """Start `spec.command`; leaving the block kills all of it. Raises LauncherError."""

    def keep(self, spec: SandboxSpec) -> AbstractAsyncContextManager[KeptSandbox]:
        """Start a sandbox without a command; leaving the block kills all of it. Raises LauncherError."""

    async def reap(self, run_id: str) -> bool:
        """End what a dead daemon left of a run: processes, control groups, files. Idempotent.

        Returns whether there was something.
        """


@runtime_checkable
class LooksAhead(Protocol):
    """A method whose first start in a process has much of the host to look at."""

    def look_ahead(self) -> None:
        """Look at it now, for starts that come soon. Blocks for milliseconds. Raises LauncherError."""


@runtime_checkable
class Sweeps(Protocol):
    """A method that makes things before it knows whose run they are for."""

    async def sweep_orphans(self) -> None:
        """End all that daemons which are dead left of any run, and of none. Raises LauncherError."""


@runtime_checkable
class AgentLauncher(Protocol):
    """A second kind of method: it starts a named agent, under a protection that is not ours.

    It is a `Launcher` besides, to be probed and reaped; `launch` and `keep` raise `agent_needed`.
    """

    @property
    def is_agents_own(self) -> bool:
        """Whether the protection is the agent's own, to be switched on in its command."""

    def launch_agent(self, agent: str, spec: SandboxSpec) -> AbstractAsyncContextManager[SandboxProcess]:
        """As `Launcher.launch`; `spec.command` is the agent's own; its network is the host's."""


@runtime_checkable
class NeedsSetUp(Protocol):
    """A method that needs something of the host, made once, when somebody says so, and never silently."""

    async def set_up(self) -> Sequence[str]:
        """Make what is missing; say what was done, one line each. Idempotent. Raises LauncherError."""

    async def undo_set_up(self) -> Sequence[str]:
        """Take away what was made; say what was done. Idempotent. Raises LauncherError."""
