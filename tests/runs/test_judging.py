"""A result is judged in a process that can be given up, also by a daemon that is `python -m hutch`."""

import resource
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio import to_process

import hutch
from hutch.agents import Ending, Outcome, Usage
from hutch.runs.turns.judging import judged
from support.streams import LONG_S

DONE = Outcome(Ending.DONE, '{"sum": 3}', "id", "m", Usage())


def nested(levels: int) -> object:
    value: object = 1
    for _ in range(levels):
        value = [value]
    return value


async def test_what_conforms_is_the_result_and_nothing_where_none_was_asked_for() -> None:
    assert (await judged(DONE, {"type": "object"})).result == {"sum": 3}
    assert (await judged(DONE, {"type": "array"})).ending is Ending.RESULT_INVALID
    assert (await judged(Outcome(Ending.DONE, "", "id", "m", Usage(), result=3), None)).result is None


async def test_a_schema_that_takes_for_ever_is_given_up() -> None:
    bomb = Outcome(Ending.DONE, f'"{"a" * 60}!"', "id", "m", Usage())
    with anyio.fail_after(LONG_S):
        outcome = await judged(bomb, {"pattern": "^(a+)+$"}, within_s=3)
    assert (outcome.ending, "in time" in outcome.error) == (Ending.RESULT_INVALID, True)


def test_the_program_s_own_main_module_does_nothing_when_it_is_only_loaded() -> None:
    main = Path(hutch.__file__).with_name("__main__.py")
    load = f"import runpy; runpy.run_path({str(main)!r}, run_name='__mp_main__'); print('loaded')"
    said = subprocess.check_output([sys.executable, "-c", load], text=True, timeout=60)
    assert said == "loaded\n"


@pytest.mark.parametrize(
    ("result", "schema"),
    [
        (nested(500), {"type": "array"}),  # deeper than pickle goes
        (10**400, {"multipleOf": 0.5}),  # no float holds it
    ],
    ids=["deep", "large"],
)
async def test_no_result_and_no_schema_is_an_error_of_ours(result: object, schema: dict[str, Any]) -> None:
    outcome = await judged(replace(DONE, result=result), schema, within_s=60)
    assert (outcome.ending, outcome.result) == (Ending.RESULT_INVALID, None)


async def test_it_is_judged_in_bounded_memory() -> None:
    assert (await judged(DONE, {})).ok
    assert await to_process.run_sync(resource.getrlimit, resource.RLIMIT_AS) == (1 << 30, 1 << 30)


async def test_who_waits_for_others_to_be_judged_loses_no_time() -> None:
    assert (await judged(DONE, {})).ok  # its process waits for the next
    turns, others = to_process.current_default_process_limiter(), [object() for _ in range(64)]
    turns.total_tokens = len(others)
    for other in others:
        turns.acquire_on_behalf_of_nowait(other)
    found: list[Outcome] = []

    async def judge() -> None:
        found.append(await judged(DONE, {}, within_s=8))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(judge)
        await anyio.sleep(8.2)
        for other in others:
            turns.release_on_behalf_of(other)
    assert found[0].ok
