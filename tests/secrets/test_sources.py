"""Where values come from: real variables, files, programs and a keyring."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from hutch.config import Secret
from hutch.errors import HutchError
from hutch.secrets import read_value
from support.needs import need


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


# A process has one keyring, which it chooses by its environment when it first needs it
READS = """
import asyncio, keyring, sys
from hutch.config import Secret
from hutch.errors import HutchError
from hutch.secrets import read_value

if "alt" in sys.argv[1]:
    keyring.set_password("tracker/main", "me", "from a keyring")
for entry in ("tracker/main/me", "tracker/none"):
    try:
        print(asyncio.run(read_value("mine", Secret(from_keyring=entry))).decode())
    except HutchError as error:
        print(error.code)
"""


@pytest.mark.parametrize(
    ("backend", "told"),
    [
        ("keyrings.alt.file.PlaintextKeyring", ["from a keyring", "secret_missing"]),
        ("keyring.backends.fail.Keyring", ["secret_unreadable"] * 2),  # there is none on this host
    ],
)
def test_a_keyring_is_asked_for_its_entry(backend: str, told: list[str], tmp_path: Path) -> None:
    need("", find_spec("keyrings") is not None, "a keyring", "scripts/setup dev")
    env = {**os.environ, "PYTHON_KEYRING_BACKEND": backend, "XDG_DATA_HOME": str(tmp_path)}
    env["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    words = [sys.executable, "-c", READS, backend]
    done = subprocess.run(words, env=env, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines() == told, done.stderr
