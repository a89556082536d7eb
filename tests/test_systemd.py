"""The units are ones that systemd takes, and they agree with the default configuration."""

import shutil
import subprocess
from pathlib import Path

import pytest

from hutch.config import parse

UNITS = Path(__file__).parents[1] / "systemd"


@pytest.mark.parametrize("kind", ["system", "user"])
def test_systemd_takes_the_units(kind: str, tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd-analyze is not installed")
    folder = UNITS if kind == "system" else UNITS / "user"
    for name in ("hutch.service", "hutch.socket"):
        text = (folder / name).read_text()
        for program in ("/usr/local/bin/hutch", "%h/.local/bin/hutch"):
            text = text.replace(program, shutil.which("true") or "/bin/true")
        (tmp_path / name).write_text("\n".join(_known(line) for line in text.splitlines()) + "\n")
    done = subprocess.run(
        [analyze, f"--{kind}", "verify", tmp_path / "hutch.service", tmp_path / "hutch.socket"],
        env={"PATH": "/usr/bin:/bin", "XDG_RUNTIME_DIR": str(tmp_path), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def _known(line: str) -> str:
    """A line as this systemd knows it: an older one passes over what came since, and says so."""
    version = subprocess.run(["systemd-analyze", "--version"], capture_output=True, text=True, check=True)
    is_old = int(version.stdout.split()[1]) < 254
    return "" if is_old and line.startswith("DelegateSubgroup=") else line


@pytest.mark.parametrize("folder", [UNITS, UNITS / "user"])
def test_the_sockets_are_where_the_default_configuration_looks_for_them(folder: Path) -> None:
    daemon = parse("", {"HOME": "/home/ada", "XDG_RUNTIME_DIR": "/run"}).daemon
    lines = (folder / "hutch.socket").read_text().splitlines()
    listen = [
        line.partition("=")[2].replace("%t", "/run") for line in lines if line.startswith("ListenStream=")
    ]
    assert listen == [str(daemon.listen), str(daemon.socket)]
