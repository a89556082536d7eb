"""`hutch method setup`: what a method needs of the host is made by it, said, and taken away again."""

import json
import os
import secrets
from pathlib import Path

import pytest

from hutch.cli import main
from hutch.cli.invocation import Invocation
from hutch_launchers.methods.account.accounts import find_accounts
from support.launcher_accounts import need_account


def configured(tmp_path: Path, prefix: str) -> Invocation:
    file = tmp_path / "config.toml"
    journals = tmp_path / "journals"
    file.write_text(
        f"[daemon]\nstate = '{tmp_path}/state'\ncache = '{tmp_path}/cache'\n"
        f"[methods.mine]\nkind = 'account'\nprefix = '{prefix}'\naccounts = 2\nonline = 1\n"
        f"journals = '{journals}'\n"
    )
    return Invocation(file=file, env={"HOME": str(tmp_path)})


def test_accounts_are_made_once_and_taken_away(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    need_account()
    prefix = f"hutchtest{secrets.token_hex(3)}"
    invocation = configured(tmp_path, prefix)
    try:
        assert main(["method", "setup", "mine", "--json"], invocation) == 0
        assert len(json.loads(capsys.readouterr().out)["done"]) == 4
        assert main(["method", "setup", "mine"], invocation) == 0
        assert capsys.readouterr().out == ""
        assert len(find_accounts(prefix)) == 3
    finally:
        assert main(["method", "setup", "mine", "--undo"], invocation) == 0
    assert f"removed the account {prefix}-offline-1" in capsys.readouterr().out
    assert find_accounts(prefix) == ()


def test_a_method_that_needs_nothing_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["method", "setup", "bubblewrap"], configured(tmp_path, "x")) == 0
    assert "nothing to do" in capsys.readouterr().err


def test_an_ordinary_user_is_told_to_be_root(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    invocation = configured(tmp_path, "x")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert main(["method", "setup", "mine"], invocation) == 3
    assert "only root may make or remove accounts" in capsys.readouterr().err
