"""What comes out of any agent's turn: events while it works, one outcome at its end."""

from dataclasses import dataclass
from enum import StrEnum


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
class PermissionAsked:
    """The agent's own rules kept a tool call for a person to allow. Nobody is there: it was refused."""

    tool: str
    summary: str


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


@dataclass(frozen=True, slots=True)
class Erred:
    """Something went wrong that the agent tells of. It may go on even so; the outcome says how it ended."""

    message: str
    status: int | None = None  # of HTTP


@dataclass(frozen=True, slots=True)
class Answered:
    """The result in the form that was asked for, as the agent has it: nobody has checked it yet."""

    result: object


AgentEvent = (
    SessionNamed
    | Said
    | ToolStarted
    | ToolEnded
    | FileChanged
    | PermissionAsked
    | Spent
    | Retrying
    | Erred
    | Answered
)


class Ending(StrEnum):
    """How a turn ended; read from the events, since an exit code of 0 does not mean success."""

    DONE = "done"
    TURN_LIMIT = "turn_limit"
    BUDGET = "budget"
    API_ERROR = "api_error"  # the model's service refused or failed
    RESULT_INVALID = "result_invalid"  # it ended well, and its result has not the form that was asked for
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
    result: object = None  # of JSON, in the form that was asked for; None: none was, or it gave none

    @property
    def ok(self) -> bool:
        return self.ending is Ending.DONE
