"""Every attack from inside a sandbox that the daemon itself made, by its policy and its mounts."""

import pytest

from hutch_launchers.contract.attacking import PROGRAMS
from support.contract_cases import shows
from support.contract_column import Column
from support.contract_methods import OPEN

pytestmark = pytest.mark.slow  # real sandboxes, by two users


# those on protected paths need a workspace that is written: test_protected.py
@pytest.mark.parametrize("group", [group for group in PROGRAMS if group != "protected"])
@shows("files/workspace-sockets")
async def test_attacks_are_held_in_a_sandbox_of_the_daemon(sandbox: Column, group: str) -> None:
    tries, trouble = await sandbox.attack(group)
    assert tries, trouble
    failed = [
        str(one)
        for one in tries
        if one.verdict == "failed" and (one.case, sandbox.method, sandbox.who.name) not in OPEN
    ]
    assert failed == []
    assert {one.verdict for one in tries} == {"as it must be"}, "everything is shown here"
    sandbox.stage.assert_untouched()
