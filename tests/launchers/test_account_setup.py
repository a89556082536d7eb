"""The accounts of the method `account`: made, mended and taken away, and nothing of anybody else's."""

import grp
import os
import pwd
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

from hutch_launchers.launcher import LauncherError
from hutch_launchers.methods.account.accounts import find_accounts
from hutch_launchers.methods.account.launcher import AccountLauncher
from support.launcher_accounts import Accounts, accounts, need_account
from support.launcher_methods import read_line, sh, spec
from support.streams import LONG_S

_TESTS = "hutchtest"  # how the accounts of all tests begin


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Accounts]:
    with accounts(tmp_path_factory.mktemp("accounts")) as made:
        yield made


@pytest.fixture
def own(tmp_path: Path) -> Iterator[AccountLauncher]:
    """Accounts that are not made yet, under a name that nobody has; nothing of it is left."""
    need_account()
    launcher = AccountLauncher(
        prefix=f"{_TESTS}{secrets.token_hex(3)}", accounts=2, online=1, journals=tmp_path / "journals"
    )
    yield launcher
    for name in names_of(launcher.prefix):
        for program in ("userdel", "groupdel"):
            subprocess.run([program, name], check=False, capture_output=True)
    assert names_of(launcher.prefix) == set()


def names_of(prefix: str) -> set[str]:
    """Users and groups that are called so."""
    names = [entry.pw_name for entry in pwd.getpwall()] + [group.gr_name for group in grp.getgrall()]
    return {name for name in names if name.startswith(f"{prefix}-")}


def others_than(prefix: str) -> set[str]:
    """All users but those, and those of tests that go on beside this one."""
    names = {entry.pw_name for entry in pwd.getpwall()}
    return {name for name in names if not name.startswith((f"{prefix}-", _TESTS))}


async def test_set_up_and_its_undoing_are_idempotent_and_touch_nobody_else(
    own: AccountLauncher,
) -> None:
    everybody = others_than(own.prefix)
    probe = await own.probe(fresh=True)
    assert (probe.available, "hutch method setup account" in probe.fix) == (False, True)
    assert len(await own.set_up()) == 4
    assert await own.set_up() == ()
    assert {entry.pw_shell for entry in map(pwd.getpwnam, (a.name for a in find_accounts(own.prefix)))} == {
        "/usr/sbin/nologin"
    }
    assert len(await own.undo_set_up()) == 4
    assert await own.undo_set_up() == ()
    assert names_of(own.prefix) == set()
    assert others_than(own.prefix) == everybody


async def test_accounts_in_use_are_not_taken_away(pool: Accounts) -> None:
    async with pool.launcher.launch(spec(sh("echo ready; read x"))) as process:
        await read_line(process.stdout)
        with pytest.raises(LauncherError) as refused:
            await pool.launcher.undo_set_up()
    assert "in use by a run" in refused.value.message


@pytest.mark.parametrize("then", ["made again", "undone"])
@pytest.mark.parametrize("left", ["a group", "a user", "all of it", "nothing"])
async def test_what_a_kill_has_left_half_made_is_mended(own: AccountLauncher, left: str, then: str) -> None:
    await own.set_up()
    name = find_accounts(own.prefix)[0].name
    (own.journals / f"{name}.half").touch()  # as it is while an account is made, or removed
    if left in ("a group", "nothing"):
        subprocess.run(["userdel", name], check=True)
    if left == "a group":
        subprocess.run(["groupadd", "--system", name], check=True)
    if left == "a user":
        subprocess.run(["groupdel", "--force", name], check=True)
    if then == "made again":
        await own.set_up()
        assert len(found := find_accounts(own.prefix)) == 3
        assert all(account.is_whole for account in found)
        assert await own.set_up() == ()
    await own.undo_set_up()
    assert (names_of(own.prefix), own.journals.exists()) == (set(), False)


async def test_a_group_of_somebody_else_s_is_left_alone(own: AccountLauncher) -> None:
    name = f"{own.prefix}-offline-1"
    subprocess.run(["groupadd", "--system", name], check=True)
    with pytest.raises(LauncherError) as refused:
        await own.set_up()
    assert f"called {name} that Hutch did not make" in refused.value.message
    await own.undo_set_up()
    assert names_of(own.prefix) == {name}


_SET_UP = """
import anyio, sys
from pathlib import Path
from hutch_launchers.methods.account.launcher import AccountLauncher
anyio.run(AccountLauncher(prefix=sys.argv[1], accounts=64, online=0, journals=Path(sys.argv[2])).set_up)
"""


async def test_a_set_up_that_was_killed_is_finished_by_the_next_one(own: AccountLauncher) -> None:
    words = [sys.executable, "-c", _SET_UP, own.prefix, str(own.journals)]
    with subprocess.Popen(words, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}) as process:
        with anyio.fail_after(LONG_S):
            while not find_accounts(own.prefix):
                await anyio.sleep(0.001)
        process.send_signal(signal.SIGKILL)
    assert len(find_accounts(own.prefix)) < 64
    await own.set_up()
    assert {f"{own.prefix}-{kind}" for kind in ("offline-0", "offline-1", "online-0")} <= names_of(own.prefix)
    await own.undo_set_up()
    assert (names_of(own.prefix), own.journals.exists()) == (set(), False)
