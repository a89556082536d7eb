"""What a turn shares with others: the budget of its group, and the minutes of its budgets."""

from dataclasses import replace

from hutch.budgets import of_group
from hutch.policy import Plan, within
from hutch.runs.planning.time_left import within_time
from hutch.runs.rooms import Rooms
from hutch.state import Session


async def within_shared(rooms: Rooms, plan: Plan, session: Session, *, pauses: bool) -> Plan:
    """Return the plan of a turn with no more than others have left of it. Raises HutchError.

    `pauses`: at the end of its group's budget it is held still, as at that of its own.
    """
    group = await rooms.state.group_in((session.volume or "").partition(":")[0])
    if group is not None:
        bound = of_group(group.id, group.budget_usd, group.budget_tokens)
        plan = within(plan, replace(bound, pauses=pauses))
    return await within_time(rooms, plan, session.principal, session.id)
