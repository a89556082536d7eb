"""Budgets in minutes: a run gets what is left of them, and ends as `budget` when that is over."""

from dataclasses import asdict, replace
from decimal import Decimal

from hutch.budgets import Limit
from hutch.errors import HutchError
from hutch.policy import Plan
from hutch.runs.rooms import PathRooms
from hutch.state.usage import today
from hutch_launchers.spec import Limits


async def within_time(rooms: PathRooms, plan: Plan, principal: str, session_id: str | None) -> Plan:
    """Return the plan with no more time than its budgets leave. Raises HutchError `budget_spent`."""
    limits, why = await time_left(rooms, plan.limits, plan.budgets, principal, session_id)
    granted = {**plan.granted, "limits": asdict(limits)}
    return replace(plan, limits=limits, granted=granted, time_budget=why)


async def time_left(
    rooms: PathRooms, limits: Limits, budgets: tuple[Limit, ...], principal: str, session_id: str | None
) -> tuple[Limits, str]:
    """Return the limits with no more time than budgets leave, and which one that is; empty: none.

    Raises HutchError `budget_spent`.
    """
    why = ""
    for budget in budgets:
        if budget.minutes is None:
            continue
        left_s = float(budget.minutes * 60 - await _used_s(rooms, budget, principal, session_id))
        told = f"{budget.whose} is spent: {budget.minutes:g} minutes"
        if left_s <= 0:
            raise HutchError("budget_spent", told, "ask the daemon's owner for more")
        if left_s < limits.wall_s:
            limits, why = replace(limits, wall_s=left_s), told
    return limits, why


async def _used_s(rooms: PathRooms, budget: Limit, principal: str, session_id: str | None) -> Decimal:
    """Return how long the others of its kind have worked."""
    if budget.per == "run" or (budget.per == "session" and session_id is None):
        return Decimal(0)
    if budget.per == "session":
        used_s = await rooms.state.seconds_run(session_id=session_id)
    else:
        day = today() if budget.per == "day" else None
        used_s = await rooms.state.seconds_run(principal=principal, day=day)
    return Decimal(str(used_s))
