"""The freezer of a real sandbox with the real streamer, as root and as an ordinary user."""

import json
import subprocess
import tempfile
from pathlib import Path

import pytest

from support.contract_column import ORDINARY_USER, ROOT_USER, who
from support.daemon import ROOT

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("user", [ROOT_USER, ORDINARY_USER])
def test_what_a_sandbox_never_lets_keep_still_is_stored_as_of_one_instant(user: str) -> None:
    one = who(user)
    with tempfile.TemporaryDirectory(dir="/var/tmp") as place:  # on a path that an ordinary user may go
        Path(place).chmod(0o755)
        folder = Path(place, "of-the-user")
        folder.mkdir()
        subprocess.run(["chown", str(one.uid), folder], check=True)
        done = subprocess.run(
            [*one.python, "-m", "support.frozen_stream", folder],
            env={
                "PYTHONPATH": f"{one.env['PYTHONPATH']}:{ROOT}/tests",
                "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            },
            capture_output=True,
            text=True,
            check=False,
            timeout=150,
        )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["torn"], told["sums"], told["last"]) == (0, [0], True), told
    if told["frozen"]:
        assert told["snapshots"] > 3, told
    else:  # nothing can be frozen for this user: then it is said what is left as it was
        assert told["refused"] > 0, told
        assert told["unsteady"], told
