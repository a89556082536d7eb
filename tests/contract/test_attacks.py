"""Every case that an attack program shows from inside a sandbox."""

import pytest

from support.contract_cases import CASES, Case
from support.contract_column import Column

pytestmark = pytest.mark.slow  # real sandboxes, by two users


@pytest.mark.parametrize("case", [case for case in CASES if case.program], ids=lambda case: case.key)
async def test_every_try_of_an_attack_is_held_and_its_allowed_neighbour_works(
    sandbox: Column, case: Case
) -> None:
    tries = await sandbox.tries(case.key)
    assert {one.kind for one in tries} == {"attack", "allowed"}
    failed = [str(one) for one in tries if not one.ok]
    with sandbox.known_gap(case.key):
        assert failed == []
    sandbox.stage.assert_untouched()
