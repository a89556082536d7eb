"""What an agent adapter is: it builds a command and reads event lines; it starts and stores nothing."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path, PurePosixPath
from typing import Protocol

GIVEN = PurePosixPath("/opt/given")  # inside, read-only: what a turn is given beside its prompt
WORKSPACE = PurePosixPath("/workspace")

# What goes in ------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AgentTurn:
    """One prompt to an agent in a sandbox, in terms that every agent shares."""

    prompt: str
    session_id: str  # to resume; of a new conversation: the id to give it, where the agent lets us choose
    resumes: bool
    volume: PurePosixPath = WORKSPACE  # where the volume is mounted inside
    model: str | None = None  # None: the agent's own default
    instructions: str = ""  # added to the system prompt, for this turn alone
    skills: Mapping[str, Mapping[str, str]] = field(default_factory=dict)  # name -> path within -> text
    max_turns: int | None = None
    budget_usd: float | None = None  # of this turn
    protects_itself: bool = False  # no sandbox is around it: its own is to be on, and it fails without


@dataclass(frozen=True, slots=True)
class Binding:
    """A host file or folder that the agent needs inside, read-only. No part of `source` is a link."""

    source: Path
    target: PurePosixPath


@dataclass(frozen=True, slots=True)
class AgentCommand:
    """How to start one turn. `env` comes on top of the sandbox's own HOME, PATH and LANG."""

    argv: tuple[str, ...]
    env: Mapping[str, str]  # no secrets
    stdin: bytes = field(repr=False)  # the prompt; close after writing: an argument list is short and public
    given: Mapping[str, bytes] = field(repr=False)  # path beneath `GIVEN` -> content
    bindings: tuple[Binding, ...]
    hosts: tuple[str, ...]  # "name:port" that it cannot work without


# What comes out ------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one turn, never of the session. `input_tokens` leaves cache reads and writes out."""

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    cost_usd: float | None = None  # None: some model is not on the agent's price list, or it never said
    is_complete: bool = True  # False: the agent was ended before it could report; a lower bound


@dataclass(frozen=True, slots=True)
class SessionNamed:
    """The agent said its session id and model."""

    session_id: str
    model: str


@dataclass(frozen=True, slots=True)
class Said:
    """Text of the model."""

    text: str


@dataclass(frozen=True, slots=True)
class ToolStarted:
    """A tool call; `summary` is one line for a person's eyes."""

    call_id: str
    tool: str
    summary: str


@dataclass(frozen=True, slots=True)
class ToolEnded:
    """A tool call's end."""

    call_id: str
    failed: bool
    summary: str


@dataclass(frozen=True, slots=True)
class FileChanged:
    """The agent's own file tool wrote a path; what its commands write is not seen here."""

    path: str


@dataclass(frozen=True, slots=True)
class Spent:
    """The turn's usage so far: a lower bound until the turn has ended."""

    usage: Usage


@dataclass(frozen=True, slots=True)
class Retrying:
    """A model call failed and is tried again."""

    attempt: int
    of: int
    wait_s: float
    status: int | None  # of HTTP
    message: str


AgentEvent = SessionNamed | Said | ToolStarted | ToolEnded | FileChanged | Spent | Retrying


class Ending(StrEnum):
    """How a turn ended; read from the events, since an exit code of 0 does not mean success."""

    DONE = "done"
    TURN_LIMIT = "turn_limit"
    BUDGET = "budget"
    API_ERROR = "api_error"  # the model's service refused or failed
    SESSION_UNKNOWN = "session_unknown"  # nothing to resume under that id
    INTERRUPTED = "interrupted"  # ended from outside, before it was done
    NOT_STARTED = "not_started"  # it refused to run at all
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Outcome:
    """One turn as its events told it.

    All text is the sandbox's and hostile: valid Unicode of bounded length, and nothing more is known of it.
    """

    ending: Ending
    text: str  # the agent's last message
    session_id: str | None  # as the agent said it; None: it never did
    model: str
    usage: Usage
    error: str = ""  # what went wrong, in the agent's words
    api_status: int | None = None  # HTTP status behind `API_ERROR`
    denied: int = 0  # tool calls refused by the agent's own rules
    skipped_lines: int = 0  # not events at all, or too long to be held

    @property
    def ok(self) -> bool:
        return self.ending is Ending.DONE


class Reading(Protocol):
    """One turn's standard output, read as it comes. Any bytes are tolerated; memory is bounded."""

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
        """Environment variables that may carry its credential; one of them suffices."""

    def command(self, turn: AgentTurn) -> AgentCommand:
        """Raises HutchError `skill_invalid`, `turn_invalid`."""

    def reading(self) -> Reading: ...

    def has_login(self, folder: Path) -> bool:
        """Whether a volume's working folder holds a login of its own. Never raises."""

    def sessions(self, folder: Path) -> tuple[str, ...]:
        """Ids of the conversations stored in a volume's working folder, newest first. Never raises."""
