"""The records of groups: one task attempted several times at once, from one snapshot of a volume."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field, JsonValue

from hutch_mcp_tools.volume_records import VolumeChange
from hutch_mcp_tools.wire import Wire

MOST_FORKS = 32
CHECK = "-check-"  # in the names of forks of an attempt's volume, in which its work is checked
AT_WORK = ("queued", "running", "suspended")  # of sessions


class Forks(Wire):
    """How often a task is attempted at once, and what differs from one attempt to the next.

    The first attempt has the first of each list, the second the second, and after the last again the first.
    """

    count: Annotated[int, Field(ge=2, le=MOST_FORKS)]
    models: Annotated[list[str], Field(max_length=MOST_FORKS)] = []
    variants: Annotated[list[str], Field(max_length=MOST_FORKS)] = []  # what is added to the prompt
    budget_usd: Annotated[float, Field(gt=0)] | None = None  # of all of them together
    budget_tokens: Annotated[int, Field(gt=0)] | None = None


class AttemptChange(Wire):
    """One file that an attempt changed, and how many of its lines."""

    kind: Literal["A", "M", "D"]
    path: str
    added: int = 0
    deleted: int = 0
    note: str = ""  # why lines are not counted: "binary", "too large"


class AttemptRecord(Wire):
    """One attempt, or another session that is compared with attempts."""

    number: int  # within its group; 0: it is in none
    session_id: str | None  # None: its start was cut off
    group_id: str | None = None
    status: str  # of its session
    outcome: str = ""  # of its newest run: its status, and why
    note: str = ""  # what it is doing now
    volume: str  # that it works in, a fork
    model: str | None = None
    variant: str | None = None
    run_id: str | None = None
    last_message: str | None = None
    result: JsonValue = None  # in the form that was asked for
    error: str | None = None
    tokens_in: int = 0  # as metered outside the sandbox, where they were; else as the agent reports them
    tokens_out: int = 0
    cost_usd: float | None = None
    duration_s: float = 0  # that it has worked
    changed: int | None = None  # files, since it began; None: its volume is gone
    added: int = 0  # lines, of `files`
    deleted: int = 0
    files: list[AttemptChange] = []  # where they were asked for; the first of them
    workspace: dict[str, JsonValue] = {}  # its folder, mode, what changed in it and where that waits
    kept_as: str | None = None  # the volume that has its work now
    kept_snapshot: int | None = None

    @property
    def is_at_work(self) -> bool:
        return self.status in AT_WORK

    @property
    def state(self) -> str:
        """A word for how it stands: of its session while it is at work, then of how its last turn ended."""
        ended = self.outcome.partition(";")[0]
        if self.is_at_work or not ended:
            return self.status
        if ended == "exited":  # which says nothing of how well
            return "done" if self.status == "idle" else self.status
        return ended


class GroupRecord(Wire):
    """A group as it stands."""

    group_id: str
    agent: str
    prompt: str  # shortened
    volume: str  # where all of them began, and where one of them may be kept
    snapshot: int
    workspace: str | None = None
    principal: str
    created_at: datetime
    budget: str = ""  # what all of them have spent together of what they may; empty: they have none
    attempts: list[AttemptRecord] = []

    @property
    def is_at_work(self) -> bool:
        return any(attempt.is_at_work for attempt in self.attempts)


class AttemptsDiffRequest(Wire):
    """What turns the volume of one attempt into that of another."""

    a: str  # sessions
    b: str
    path: str = "/"
    patch: bool = True
    offset: Annotated[int, Field(ge=0)] = 0
    limit: Annotated[int, Field(ge=1, le=10_000)] = 1000


class AttemptsDiff(Wire):
    """A page of it."""

    a: str
    b: str
    changes: list[VolumeChange]
    next: int | None = None


class KeptRecord(Wire):
    """What became of an attempt that was kept."""

    session_id: str
    group_id: str
    volume: str
    snapshot: int  # the volume's newest now
    changes: int  # paths that differ from what the volume was


class DiscardedRecord(Wire):
    """The volumes that were removed, and those that were left, and why."""

    group_id: str
    removed: list[str]
    left: dict[str, str]
