"""Dedicated accounts for tests: made under a name of their own, and taken away whatever happens."""

import os
import secrets
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio
import pytest

from hutch_launchers.methods.account import firewall
from hutch_launchers.methods.account.accounts import OFFLINE, Account, find_accounts
from hutch_launchers.methods.account.launcher import AccountLauncher
from support.needs import need


@dataclass(frozen=True, slots=True)
class Accounts:
    """A method `account` that is set up."""

    launcher: AccountLauncher

    @property
    def all(self) -> tuple[Account, ...]:
        return find_accounts(self.launcher.prefix)

    @property
    def offline(self) -> tuple[Account, ...]:
        return tuple(account for account in self.all if account.kind == OFFLINE)

    @property
    def tables(self) -> list[str]:
        listed = subprocess.run(["nft", "list", "tables"], capture_output=True, text=True, check=True).stdout
        return [account.name for account in self.all if firewall.table(account.uid) + "\n" in listed]


def need_account() -> None:
    """Skip the test where accounts cannot be made."""
    if os.geteuid() != 0:
        pytest.skip("only root can run something under another account")
    need(
        "account",
        all(Path(path).exists() for path in ("/usr/sbin/nft", "/usr/bin/setpriv", "/usr/sbin/useradd")),
        "nftables, setpriv or useradd",
        "scripts/install-methods",
    )


@contextmanager
def accounts(folder: Path, count: int = 3) -> Iterator[Accounts]:
    need_account()
    launcher = AccountLauncher(
        prefix=f"hutchtest{secrets.token_hex(3)}", accounts=count, online=2, journals=folder / "journals"
    )
    try:
        anyio.run(launcher.set_up)
        yield Accounts(launcher)
    finally:
        for account in find_accounts(launcher.prefix):
            firewall.apply(firewall.open_rules(account.uid))
            (launcher.journals / f"{account.name}.json").unlink(missing_ok=True)
        anyio.run(launcher.undo_set_up)
