"""Where values come from: real variables, files, programs and a keyring's own interface."""

import sys
from pathlib import Path

import pytest

from hutch.config import Secret
from hutch.errors import HutchError
from hutch.secrets import read_value


async def test_a_value_is_read_without_its_lines_end(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("from a file\n")
    program = (sys.executable, "-c", "print('from a program')")
    assert (
        await read_value("a", Secret(from_env="A"), {"A": "from the environment"}) == b"from the environment"
    )
    assert await read_value("a", Secret(from_file=tmp_path / "token")) == b"from a file"
    assert await read_value("a", Secret(from_command=program)) == b"from a program"


async def test_what_is_not_there_or_fails_is_told_without_what_it_said(tmp_path: Path) -> None:
    failing = (sys.executable, "-c", "import sys; print('half a value'); sys.exit('and its secret'); ")
    cases = {
        "secret_missing": [Secret(from_env="A"), Secret(from_command=(sys.executable, "-c", ""))],
        "secret_unreadable": [
            Secret(from_file=tmp_path / "none"),
            Secret(from_command=failing),
            Secret(from_command=("/no/such/program",)),
        ],
    }
    for code, secrets in cases.items():
        for secret in secrets:
            with pytest.raises(HutchError) as raised:
                await read_value("mine", secret, {})
            assert raised.value.code == code
            assert "mine" in raised.value.message
            assert "half" not in raised.value.message
