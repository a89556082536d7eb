"""What a daemon leaves that is killed while it measures a method: the next measurement clears it away."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from hutch_launchers.measuring import clear_interrupted, noted

pytestmark = pytest.mark.anyio
_DIES = """
import os, sys
from pathlib import Path
from hutch_launchers.measuring import noted
made = Path(sys.argv[1])
with noted("there", ["probe-1"], [made]):
    made.mkdir()
    os.kill(os.getpid(), 9)
"""


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return tmp_path


async def _cleared(method: str) -> list[str]:
    reaped: list[str] = []

    async def reap(run_id: str) -> bool:
        reaped.append(run_id)
        return True

    await clear_interrupted(method, reap)
    return reaped


async def test_what_a_killed_daemon_was_measuring_is_cleared_away_by_the_same_method(place: Path) -> None:
    made = place / "canary"
    died = subprocess.run([sys.executable, "-c", _DIES, made], check=False)
    assert died.returncode == -signal.SIGKILL
    assert await _cleared("another") == []
    assert made.is_dir()
    assert await _cleared("there") == ["probe-1"]
    assert list(place.iterdir()) == []


async def test_a_measurement_under_way_is_left_alone(place: Path) -> None:
    made = place / "canary"
    made.mkdir()
    with noted("there", ["probe-1"], [made]):
        assert await _cleared("there") == []
        assert made.is_dir()
    assert list(place.iterdir()) == [made]
