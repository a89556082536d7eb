"""Whether a turn's result has the form that was asked for, judged where it can be given up."""

from collections.abc import Mapping
from dataclasses import replace

import anyio
from anyio import BrokenWorkerProcess, to_process

from hutch.agents import Ending, Outcome
from hutch.agents.results import judge_result

_WITHIN_S = 30.0  # with the start of a process for it


async def judged(
    outcome: Outcome, schema: Mapping[str, object] | None, within_s: float = _WITHIN_S
) -> Outcome:
    """Return the outcome with its result, or with what is wrong with that."""
    if schema is None or not outcome.ok:
        return replace(outcome, result=None)
    told = "the result could not be held against its schema in time"
    with anyio.move_on_after(within_s):
        try:
            return await to_process.run_sync(judge_result, outcome, dict(schema), cancellable=True)
        except BrokenWorkerProcess:
            told = "the result could not be held against its schema"
    return replace(outcome, ending=Ending.RESULT_INVALID, error=told, result=None)
