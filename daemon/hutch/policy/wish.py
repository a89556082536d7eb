"""What a caller asks for. Nothing in it is granted yet."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Wish:
    """What a caller asks for, through whichever door."""

    command: str | Sequence[str] | None  # None: a kept sandbox
    volumes: Sequence[str] = ()  # "name:path" or "name:path:ro"; the name may hold templates
    args: Mapping[str, object] = field(default_factory=dict, repr=False)  # what templates take
    workspace: str | None = None  # "DIR" or "DIR:MODE"
    method: str | None = None
    image: str | None = None  # the root of the sandbox; None: the method's own
    tier: str | None = None  # a named policy
    cwd: str | None = None
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    network: str | None = None
    secrets: Sequence[str] = ()  # "name", or "name:env" for its value itself
    wall_s: float | None = None
    memory_bytes: int | None = None
    cpus: float | None = None
    pids: int | None = None
    disk_bytes: int | None = None
    open_files: int | None = None
    output_bytes: int | None = None
    budget_usd: float | None = None  # of this run
    budget_tokens: int | None = None
    budget_requests: int | None = None
    pause_at_budget: bool = False
    volume_wait_s: float = 0  # for a volume that someone else writes
