"""What the page of one run shows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from hutch.telling.amounts import duration
from hutch.telling.policy import policy_fields
from hutch.telling.records import change_fields, cost_fields, outcome_fields, workspace_fields
from hutch.web.page.logs import log_ends
from hutch.web.page.states import Tone, state
from hutch_launchers.sizes import size
from hutch_mcp_tools.network_records import ConnectionRecord
from hutch_mcp_tools.run_records import RunRecord
from hutch_mcp_tools.service import SandboxService, ServiceError
from hutch_mcp_tools.text import one_line

CONNECTIONS = 500  # the newest; the command line has all
_SHORT, _LONG = 200, 600  # characters of what came from inside
_NO_RULE = "rule"  # what a refusal is called that a rule would have let through
_IN_HEAD = frozenset({"run", "status", "command"})  # the page's head says these

Facts = Mapping[str, tuple[str, ...]]  # name -> lines


@dataclass(frozen=True, slots=True)
class Passed:
    """A connection that was let through."""

    at: datetime
    where: str
    address: str
    rule: str
    way: str
    out: str
    received: str
    took: str
    count: int
    secrets: str


@dataclass(frozen=True, slots=True)
class Refused:
    """One that was not."""

    at: datetime
    where: str
    rule: str  # that was missing; empty: one let it through
    told: str  # how to ask for it
    count: int


@dataclass(frozen=True, slots=True)
class RunView:
    """All of it is text; the templates escape it."""

    run_id: str
    title: str
    state: str
    tone: Tone
    is_ended: bool
    session: str | None
    outcome: Facts
    changes: Facts
    cost: Facts
    policy: Facts
    logs: Mapping[str, str]
    passed: Sequence[Passed]
    refused: Sequence[Refused]
    is_cut: bool  # there were more connections
    is_let_go: bool  # log and connections were too old, or in the way
    others: Sequence[tuple[str, str, Tone]]  # runs of its session: id, state, tone


async def run_view(service: SandboxService, run: RunRecord, adapters: Mapping[str, str]) -> RunView:
    """Ask the service for the rest. Raises ServiceError."""
    agent = await _agent(service, run)
    connections = await service.network_log(run.run_id, CONNECTIONS)
    siblings = await service.list_runs(20, run.session_id) if run.session_id else []
    words, tone = state(run)
    return RunView(
        run_id=run.run_id,
        title=one_line(run.command, _SHORT),
        state=words,
        tone=tone,
        is_ended=run.is_ended,
        session=run.session_id,
        outcome=_facts({name: value for name, value in outcome_fields(run).items() if name not in _IN_HEAD}),
        changes=_facts(change_fields(run, await workspace_fields(service, run.workspace))),
        cost=_facts(cost_fields(run)),
        policy=_facts(policy_fields(run.policy)),
        logs=await log_ends(service, run, agent, adapters),
        passed=[_passed(each) for each in connections if not each.refused],
        refused=[_refused(each) for each in connections if each.refused],
        is_let_go=run.log_let_go_at is not None,
        is_cut=len(connections) >= CONNECTIONS,
        others=[(each.run_id, *state(each)) for each in siblings if each.run_id != run.run_id],
    )


async def _agent(service: SandboxService, run: RunRecord) -> str | None:
    """The agent whose turn this was; None: a command, or its session is forgotten."""
    try:
        return (await service.get_session(run.session_id)).agent if run.session_id else None
    except ServiceError:
        return None


def _facts(fields: Mapping[str, object]) -> Facts:
    shown = {}
    for name, value in fields.items():
        parts = value if isinstance(value, tuple) else (value,)
        lines = tuple(one_line(str(part), _LONG) for part in parts if part not in (None, ""))
        if lines:
            shown[name] = lines
    return shown


def _passed(each: ConnectionRecord) -> Passed:
    return Passed(
        at=each.at,
        where=_where(each),
        address=each.address or "",
        rule=one_line(each.rule, _SHORT),
        way=each.way,
        out=size(each.sent),
        received=size(each.received),
        took=duration(each.duration_s),
        count=each.count,
        secrets=one_line(", ".join(each.secrets), _SHORT),
    )


def _refused(each: ConnectionRecord) -> Refused:
    return Refused(
        at=each.at,
        where=_where(each) or "a request",
        rule=one_line(each.rule, _SHORT) if each.refused == _NO_RULE else "",
        told=one_line(each.told or each.refused or "", _LONG),
        count=each.count,
    )


def _where(each: ConnectionRecord) -> str:
    return one_line(f"{each.host}:{each.port}" if each.port else each.host, _SHORT)
