"""What a turn shares with others: the budget of its group, and the minutes of its budgets."""

from hutch.budgets import of_group
from hutch.policy import Plan, within
from hutch.runs.planning.time_left import within_time
from hutch.runs.rooms import Rooms
from hutch.state import Session


async def within_shared(rooms: Rooms, plan: Plan, session: Session) -> Plan:
    """Return the plan of a turn with no more than others have left of it. Raises HutchError."""
    group = await rooms.state.group_in((session.volume or "").partition(":")[0])
    if group is not None:
        plan = within(plan, of_group(group.id, group.budget_usd, group.budget_tokens))
    return await within_time(rooms, plan, session.principal, session.id)
