"""The document that says everything about one run. What it leaves out, the configuration says."""

import re
from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import Field, JsonValue, model_validator

from hutch.budgets import Limit
from hutch.config import OWNER, Config, read
from hutch.state import Run, Session
from hutch_mcp_tools.agent_records import AgentRequest
from hutch_mcp_tools.run_records import RunRequest
from hutch_mcp_tools.wire import BASE64, Wire

VERSION = 1

_RUN_ID = r"^r-[a-z0-9-]{1,60}$"
_SESSION_ID = r"s-[a-z0-9-]{1,60}"
# Tables that are one thing: a store's address with somebody else's credentials is another store
_WHOLE = frozenset({"storage"})
# Tables of named things; one that is named again is another
_NAMED = frozenset({"methods", "agents", "network", "principals", "tiers", "prices", "budgets", "secrets"})


class Granted(Wire):
    """What bounds a run beside what it asks for, as a daemon has decided."""

    wall_s: Annotated[float, Field(gt=0)]
    time_budget: str = ""  # the budget that leaves it no more time
    budgets: tuple[Limit, ...] = ()


class Job(Wire):
    """One run: a command, a script, or an agent's turn."""

    model_config = BASE64 | {"title": "A job of Hutch"}

    version: Literal[1]
    id: Annotated[str, Field(pattern=_RUN_ID)] | None = None  # of the run; None: a new one
    principal: str = OWNER  # as whom it runs: its rights, its budgets
    run: RunRequest | None = None  # a command or a script …
    agent: AgentRequest | None = None  # … or an agent's turn
    session: Session | None = None  # that an agent's turn goes on with; None: a new one
    record: Run | None = None  # of the run, as a daemon began it; None: nobody wrote of it yet
    shares: Mapping[str, str] = {}  # what was shared with the principal: volume -> "ro", "rw", "owner"
    granted: Granted | None = None  # None: what its configuration gives
    goes_on: bool = False  # after an earlier run of the same turn, whose prompt may have been heard
    configuration: Mapping[str, JsonValue] = {}  # tables as in config.toml, before those of the host

    @model_validator(mode="after")
    def _is_one_run(self) -> Self:
        if (self.run is None) == (self.agent is None):
            said = "names nothing to run" if self.run is None else "names two things to run"
            raise ValueError(f"{said}: a job has a 'run', which is a command, or an 'agent', which is a turn")
        if self.run is not None and self.run.session_id is not None:
            raise ValueError("run.session_id: a kept sandbox belongs to a daemon; leave it out")
        if self.session is not None and self.agent is None:
            raise ValueError("session: only an agent's turn belongs to one")
        if self.session is not None and not re.fullmatch(_SESSION_ID, self.session.id):
            raise ValueError("session.id: is no session's; folders are called by it")
        if self.record is not None and self.record.id != self.id:
            raise ValueError("record.id: is another run's than id")
        return self


def configuration_of(job: Job, owners: Mapping[str, object], env: Mapping[str, str], source: str) -> Config:
    """Return the configuration that a job runs by, on top of the owner's tables. Raises `config_invalid`."""
    return read(merged(owners, job.configuration), env, f"{source}: configuration", None)


def merged(owners: Mapping[str, object], jobs: Mapping[str, object]) -> dict[str, object]:
    """Return the tables of both. What the job says goes before what the owner says of the same thing."""
    tables = dict(owners)
    for section, said in jobs.items():
        had = tables.get(section)
        if section in _WHOLE or not isinstance(had, dict) or not isinstance(said, dict):
            tables[section] = said
        elif section in _NAMED:
            tables[section] = {**had, **said}
        else:
            tables[section] = merged(had, said)
    return tables
