"""A result is judged in a process that can be given up, also by a daemon that is `python -m hutch`."""

import subprocess
import sys
from pathlib import Path

import anyio

import hutch
from hutch.agents import Ending, Outcome, Usage
from hutch.runs.judging import judged

DONE = Outcome(Ending.DONE, '{"sum": 3}', "id", "m", Usage())


async def test_what_conforms_is_the_result_and_nothing_where_none_was_asked_for() -> None:
    assert (await judged(DONE, {"type": "object"})).result == {"sum": 3}
    assert (await judged(DONE, {"type": "array"})).ending is Ending.RESULT_INVALID
    assert (await judged(Outcome(Ending.DONE, "", "id", "m", Usage(), result=3), None)).result is None


async def test_a_schema_that_takes_for_ever_is_given_up() -> None:
    bomb = Outcome(Ending.DONE, f'"{"a" * 60}!"', "id", "m", Usage())
    with anyio.fail_after(30):
        outcome = await judged(bomb, {"pattern": "^(a+)+$"}, within_s=3)
    assert (outcome.ending, "in time" in outcome.error) == (Ending.RESULT_INVALID, True)


def test_the_program_s_own_main_module_does_nothing_when_it_is_only_loaded() -> None:
    main = Path(hutch.__file__).with_name("__main__.py")
    load = f"import runpy; runpy.run_path({str(main)!r}, run_name='__mp_main__'); print('loaded')"
    said = subprocess.check_output([sys.executable, "-c", load], text=True, timeout=60)
    assert said == "loaded\n"
