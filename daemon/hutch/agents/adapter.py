"""What an agent adapter is: it builds a command and reads event lines; it starts and stores nothing."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Protocol

from hutch.agents.events import AgentEvent, Outcome
from hutch.errors import HutchError

GIVEN = PurePosixPath("/opt/given")  # inside, read-only: what a turn is given beside its prompt
WORKSPACE = PurePosixPath("/workspace")
Laid = bytes | PurePosixPath | None  # a file with this content, a link to a path inside, a folder


@dataclass(frozen=True, slots=True)
class McpServer:
    """A server of MCP for the agent: a program inside its sandbox, or a URL that its network grants."""

    command: tuple[str, ...] = ()  # with its arguments; empty: it is at `url`
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    url: str = ""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class AgentTurn:
    """One prompt to an agent in a sandbox, in terms that every agent shares."""

    prompt: str
    session_id: str  # to resume; of a new conversation: the id to give it, empty: it names itself
    resumes: bool
    volume: PurePosixPath = WORKSPACE  # where the volume is mounted inside
    model: str | None = None  # None: the agent's own default
    instructions: str = ""  # added to the system prompt, for this turn alone
    skills: Mapping[str, Mapping[str, str]] = field(default_factory=dict)  # name -> path within -> text
    servers: Mapping[str, McpServer] = field(default_factory=dict)  # of MCP, by the name they get
    output_schema: Mapping[str, object] | None = None  # JSON Schema that the result is to conform to
    max_turns: int | None = None  # answers of the model
    budget_usd: float | None = None  # of this turn
    protects_itself: bool = False  # no sandbox is around it: its own is to be on, and it fails without


@dataclass(frozen=True, slots=True)
class Binding:
    """A host file or folder that the agent needs inside, read-only. No part of `source` is a link."""

    source: Path
    target: PurePosixPath


@dataclass(frozen=True, slots=True)
class AgentCommand:
    """How to start one turn. `env` comes on top of the sandbox's own HOME, PATH and LANG.

    Home and /tmp are the sandbox's own and empty at first: what must not be in the volume belongs there.
    """

    argv: tuple[str, ...]
    env: Mapping[str, str]  # no secrets
    stdin: bytes = field(repr=False)  # the prompt; close after writing: an argument list is short and public
    given: Mapping[str, bytes] = field(repr=False)  # path beneath `GIVEN` -> content
    bindings: tuple[Binding, ...]
    hosts: tuple[str, ...]  # "name:port" that it cannot work without
    # Path beneath the volume's `.hutch` -> what has to be there at the start
    state: Mapping[str, Laid] = field(default_factory=dict, repr=False)


class Reading(Protocol):
    """One turn's standard output, read as it comes. Any bytes are tolerated; memory is bounded."""

    @property
    def patience_s(self) -> float | None:
        """How long it may go on as it stands without progress; None: as long as it likes.

        Errors and retries are no progress, every other event is.
        """

    def feed(self, chunk: bytes) -> list[AgentEvent]:
        """Take any piece of the output; return the events that it completes."""

    def finish(self, *, exit_code: int | None, stderr: str = "") -> Outcome:
        """Say how it ended; `exit_code` is None after a signal.

        `stderr` is the last part of its standard error, used when no event says why it ended.
        """


class Agent(Protocol):
    """A coding agent. Configuration only; one instance serves all turns."""

    @property
    def name(self) -> str: ...

    @property
    def secrets(self) -> tuple[str, ...]:
        """Environment variables that may carry its credential; one of them suffices. Empty: it needs none."""

    def new_session_id(self) -> str:
        """Make the id of a new conversation; empty: the agent makes its own, and events tell it."""

    def command(self, turn: AgentTurn) -> AgentCommand:
        """Raises HutchError `turn_invalid`, also for what this agent cannot do."""

    def reading(self, turn: AgentTurn, folder: Path) -> Reading:
        """Begin to read a turn that is about to start in this working folder. Never raises."""

    def has_login(self, folder: Path) -> bool:
        """Whether a volume's working folder holds a login of its own. Never raises."""

    def sessions(self, folder: Path) -> tuple[str, ...]:
        """Ids of the conversations stored in a volume's working folder, newest first.

        Raises HutchError `volume_state_invalid` for what is beyond all bounds; what is no state is none.
        """


def invalid(what: str, hint: str) -> HutchError:
    """Refuse a turn that cannot be given to this agent."""
    return HutchError("turn_invalid", f"{what} cannot be used", hint)
