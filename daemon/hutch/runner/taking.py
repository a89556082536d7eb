"""Takes a job along the path of a run, to its end, wherever its events go."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import anyio
from anyio.abc import TaskGroup

from hutch import __version__
from hutch.errors import unwrapped
from hutch.exit_codes import FAILED, exit_code, exit_code_of
from hutch.jobs import Begun, Final, JobBegun, JobFolder
from hutch.runner.ahead import greet_store, prepare_sandbox
from hutch.runner.prepared import Preparing
from hutch.runner.telling import TellingRun, failure
from hutch.runs.path.ending import plain
from hutch.runs.path.path import take
from hutch.runs.turns.turn import AgentWork

Beside = Callable[[TellingRun], AbstractAsyncContextManager[None]]  # entered with the run, before it begins


async def take_job(preparing: Preparing, folder: JobFolder, beside: Beside) -> int:
    """Take it to its end, and return what a shell is told. Raises nothing of its own."""
    with unwrapped():
        async with anyio.create_task_group() as ahead:
            if preparing.job.agent is not None:  # it has a volume
                greet_store(preparing.rooms, ahead)
            code = await _take(preparing, folder, beside, ahead)
            ahead.cancel_scope.cancel()
    return code


async def _take(preparing: Preparing, folder: JobFolder, beside: Beside, ahead: TaskGroup) -> int:
    rooms, journal = preparing.rooms, preparing.journal
    journal.tell(Begun(run_id=preparing.run_id, hutch=__version__))
    try:
        live, plan, work = await preparing.run()
        prepare_sandbox(rooms, plan.method, ahead)
        method = rooms.config.methods[plan.method]
        options = {**method.options, "name": plan.method}
        folder.note(JobBegun(method.kind, options, live.record.session_id or live.id))
    except Exception as error:  # noqa: BLE001 - whatever it is, it is told as an event
        refused = plain(error)
        journal.tell(Final(error=failure(refused)))
        return exit_code_of(refused.code)
    with unwrapped():
        async with beside(live), anyio.create_task_group() as group:
            group.start_soon(live.keep_telling)
            if isinstance(work, AgentWork):
                group.start_soon(work.watch)
            await journal.put_run(live.record)
            await take(rooms, live, plan, work)
            group.cancel_scope.cancel()
    return _code(live)


def _code(live: TellingRun) -> int:
    if live.error is not None and live.record.duration_s is None:
        return exit_code_of(live.error.code)
    session = live.journal.session
    if session is not None and live.record.status == "exited":  # an agent's own code means little
        return FAILED if session.status == "failed" else 0
    return exit_code(live.record)
