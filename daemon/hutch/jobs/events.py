"""What happens in a job, as lines of JSON: versioned, numbered from 1 without a gap, each written whole."""

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from hutch.state import Connection, Run, Session, UsageRow
from hutch_mcp_tools.wire import Wire


class Line(Wire):
    """What every event has."""

    version: Literal[1] = 1
    n: Annotated[int, Field(ge=1)] = 1
    at: float = 0  # seconds since 1970


class Begun(Line):
    """The first: the job was read, and is taken."""

    kind: Literal["begun"] = "begun"
    run_id: str
    hutch: str  # which version of Hutch takes it


class Noted(Line):
    """What it does now, for a person who waits."""

    kind: Literal["note"] = "note"
    note: str


class Recorded(Line):
    """The run's record as it stands. The last one before `ended` is final."""

    kind: Literal["run"] = "run"
    run: Run


class SessionTold(Line):
    """The session of an agent's turn as the turn left it."""

    kind: Literal["session"] = "session"
    session: Session


class Connected(Line):
    """A connection out of the sandbox that has ended, or was refused."""

    kind: Literal["connection"] = "connection"
    connection: Connection


class Used(Line):
    """What answers of one model used so far, on one day: sums, so that reading a line twice adds nothing."""

    kind: Literal["usage"] = "usage"
    usage: UsageRow


class Output(Line):
    """What the command wrote; as `text` where it is UTF-8, else as `base64`."""

    kind: Literal["output"] = "output"
    stream: Literal["stdout", "stderr"]
    start: int  # byte of the stream at which it begins
    text: str | None = None
    base64: str | None = None


class Failure(Wire):
    """Why no sandbox could be given, or a volume not be committed."""

    code: str
    message: str
    hint: str = ""


class Final(Line):
    """Its process has ended, and the record says all. A volume may still wait for a store that is away."""

    kind: Literal["final"] = "final"
    error: Failure | None = None


class Ended(Line):
    """The last: nothing is left of it on this host, and every volume is committed."""

    kind: Literal["ended"] = "ended"
    exit_code: int  # as a shell is told: that of the command, where it has one


Event = Begun | Noted | Recorded | SessionTold | Connected | Used | Output | Final | Ended
EVENT: TypeAdapter[Event] = TypeAdapter(Annotated[Event, Field(discriminator="kind")])
