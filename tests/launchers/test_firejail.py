"""The method firejail: what it may claim."""

from hutch_launchers.launcher import Evidence
from hutch_launchers.methods.firejail import FirejailLauncher
from hutch_launchers.spec import Guarantee


def test_nothing_is_claimed_where_it_made_no_sandbox() -> None:
    held = dict.fromkeys(Guarantee, Evidence(held=True, mechanism="seen", detail=""))
    assert all(one.held for one in FirejailLauncher().judge(held).values())
    bare = {
        **held,
        Guarantee.PROCESSES: Evidence(held=False, mechanism="", detail="saw the host's process 1"),
    }
    assert not any(one.held for one in FirejailLauncher().judge(bare).values())
