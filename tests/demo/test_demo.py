"""The demo: it tells its story, and it fails where something in it is not so."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import demo_inside
import demo_stage
from demo_story import DemoError, Story

DEMO = Path(__file__).parents[2] / "scripts" / "demo.py"


def demo(folder: Path) -> "subprocess.CompletedProcess[str]":
    env = {name: value for name, value in os.environ.items() if name != "ANTHROPIC_API_KEY"}
    env["HUTCH_DEMO_FOLDER"] = str(folder)
    return subprocess.run([sys.executable, str(DEMO)], env=env, capture_output=True, text=True, check=False)


@pytest.mark.slow
@pytest.mark.timeout(600)  # it is told twice
def test_all_that_it_claims_holds_and_it_can_be_told_again(tmp_path: Path) -> None:
    demo(tmp_path / "demo")
    told = demo(tmp_path / "demo")
    assert (told.stderr, told.returncode) == ("", 0), told.stdout
    chapters = [line[3:] for line in told.stdout.splitlines() if line[:1].isdigit()]
    assert chapters == [
        "A daemon, and an MCP client",
        "A command in a sandbox tries to get out",
        "What it wrote outlives it, in a volume",
        "Claude Code in that volume, twice (a scripted model)",
        "Stored as it is written, and never lost",
        "Sessions, their tokens and cost",
        "Everything stops",
    ]
    assert "hutch connect" in told.stdout
    assert "hutch serve" in told.stdout


def test_a_folder_that_it_did_not_make_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "precious").touch()
    told = demo(tmp_path)
    assert told.returncode == 1
    assert f"{tmp_path} cannot be made: File exists" in told.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["precious"]


def test_a_claim_that_does_not_hold_ends_the_story(capsys: pytest.CaptureFixture[str]) -> None:
    story = Story()
    story.claim("water is wet", holds=True, evidence="a wet hand")
    with pytest.raises(DemoError, match="does not hold: fire is cold") as ended:
        story.claim("fire is cold", holds=False, evidence="a burnt hand")
    assert ended.value.hint == "what was seen: a burnt hand"
    assert capsys.readouterr().out == "   ✓ water is wet\n     a wet hand\n"


def test_what_a_sandbox_found_is_read_from_its_output_alone() -> None:
    answer = "exit_code=0 status=exited\n--- stdout (2 lines) ---\nuser=1000\nport=a=b\nno pair\n"
    assert demo_inside.findings(answer) == {"user": "1000", "port": "a=b"}


def test_without_a_sandbox_everything_that_it_tries_succeeds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control: what fails inside fails for the sandbox's sake."""
    monkeypatch.setattr(demo_stage, "FOLDER", tmp_path)
    home_before = list(Path.home().iterdir())
    with demo_stage.canaries() as canaries:
        env = demo_inside.environment(canaries) | {"PATH": os.environ["PATH"], demo_stage.SECRET: "x"}
        command = ["bash", "-c", demo_inside.TRY_EVERYTHING]
        told = subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True, check=True)
        found = demo_inside.findings("first line\n" + told.stdout)
    assert found["diary"] == "nobody's business"
    home = {path.name for path in home_before if path.exists() and " " not in path.name}
    assert home <= set(found["home"].split())
    assert canaries.planted.exists()
    assert found["port"] == "reached"
    assert found["canary"] == str(canaries.process.pid)
    assert "leaked" in found
