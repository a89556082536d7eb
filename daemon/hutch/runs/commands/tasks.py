"""What a request for one run comes to, a command or a script: its plan and its work."""

from collections.abc import Callable
from dataclasses import dataclass, field

from hutch.policy import Plan, shown
from hutch.runs.commands.scripting import script_of
from hutch.runs.path.live import LiveRun
from hutch.runs.path.path import OneCommand, Work
from hutch.runs.planning.asking import wish_of
from hutch.runs.planning.planning import plan_for
from hutch.runs.rooms import PathRooms
from hutch_mcp_tools.run_records import RunRequest


@dataclass(frozen=True, slots=True)
class Task:
    """One that may run."""

    plan: Plan  # its budgets in minutes are not looked at
    command: str  # for a person's eyes
    work: Callable[[LiveRun, Plan], Work] = field(repr=False)


async def task_of(rooms: PathRooms, request: RunRequest, principal: str) -> Task:
    """Decide what a principal's request gets. Raises what `plan_for` and `script_of` raise."""
    wish = wish_of(request)
    if request.script is not None or request.agent:
        script = await script_of(rooms, request, wish, principal)
        return Task(script.plan, script.command, script.work)
    plan = await plan_for(rooms, wish, principal)

    def work(live: LiveRun, plan: Plan) -> OneCommand:
        return OneCommand(live, plan, plan.command, request.stdin)

    return Task(plan, shown(wish.command), work)
