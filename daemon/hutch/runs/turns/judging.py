"""Whether a turn's result has the form that was asked for, judged where it can be given up."""

import logging
import resource
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace

import anyio
from anyio import BrokenWorkerProcess, CapacityLimiter, to_process

from hutch.agents import Ending, Outcome
from hutch.agents.results import judge_result

_WITHIN_S = 30.0  # with the start of a process for it
_BYTES = 1 << 30  # of that process' memory: alternatives of alternatives fill any

logger = logging.getLogger(__name__)


async def judged(
    outcome: Outcome, schema: Mapping[str, object] | None, within_s: float = _WITHIN_S
) -> Outcome:
    """Return the outcome with its result, or with what is wrong with that."""
    if schema is None or not outcome.ok:
        return replace(outcome, result=None)
    told = "the result could not be held against its schema"
    async with to_process.current_default_process_limiter():  # its own time begins when it has its turn
        with anyio.move_on_after(within_s) as patience:
            try:
                try:
                    return await _in_process(outcome, schema)
                except BrokenWorkerProcess:  # one that waited for work may have been killed meanwhile
                    return await _in_process(outcome, schema)
            except Exception as error:  # noqa: BLE001 - both are others' words: they end no run of ours
                logger.warning("a result was not judged: %s", type(error).__name__)
    if patience.cancel_called:  # its process is killed then, which can be an error of its own
        told += " in time"
    return replace(outcome, ending=Ending.RESULT_INVALID, error=told, result=None)


async def _in_process(outcome: Outcome, schema: Mapping[str, object]) -> Outcome:
    return await to_process.run_sync(
        _judge_bounded, outcome, dict(schema), cancellable=True, limiter=CapacityLimiter(1)
    )


def _judge_bounded(outcome: Outcome, schema: Mapping[str, object]) -> Outcome:
    with suppress(OSError, ValueError):  # a lower bound is there already, or this system has none
        resource.setrlimit(resource.RLIMIT_AS, (_BYTES, _BYTES))
    return judge_result(outcome, schema)
