"""The examples of timers and cron are ones that systemd, cron and `hutch agent` take."""

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from hutch.cli.agent import agent

ROOT = Path(__file__).parents[1]
UNITS = ROOT / "systemd/user"
PAGE = (ROOT / "docs/unattended.md").read_text()


def asked(words: list[str]) -> dict[str, object]:
    """What a command line asks for; click refuses one that is none."""
    program, noun, *rest = words
    assert (Path(program).name, noun) == ("hutch", "agent")
    return agent.make_context("agent", rest).params


def test_systemd_takes_the_task_and_its_timer(tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd-analyze is not installed")
    for file in UNITS.iterdir():
        text = file.read_text().replace("%h/.local/bin/hutch", shutil.which("true") or "/bin/true")
        (tmp_path / file.name.replace("@.", "@nightly.")).write_text(text)
    names = ("hutch-agent@nightly.service", "hutch-agent@nightly.timer")
    done = subprocess.run(
        [analyze, "--user", "verify", *(tmp_path / name for name in names)],
        env={"PATH": "/usr/bin:/bin", "XDG_RUNTIME_DIR": str(tmp_path), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    # A key that this systemd may be too old for; it says so of a unit beside these
    told = [line for line in done.stderr.splitlines() if "Unknown key 'DelegateSubgroup'" not in line]
    assert (done.returncode, told) == (0, [])


def test_the_task_of_a_timer_is_a_command_of_ours() -> None:
    unit = (UNITS / "hutch-agent@.service").read_text()
    command = re.search(r"^ExecStart=(.*)$", unit, re.MULTILINE)
    told = dict(re.findall(r"^(AGENT|VOLUME|OPTIONS)=(.*)$", PAGE, re.MULTILINE))
    assert command is not None
    words: list[str] = []
    for word in command[1].split():  # as systemd does: "${NAME}" is one word, "$NAME" is split
        whole, split = re.fullmatch(r"\$\{(\w+)\}", word), re.fullmatch(r"\$(\w+)", word)
        words += [told[whole[1]]] if whole else shlex.split(told[split[1]]) if split else [word]
    params = asked(words)
    assert (params["name"], params["prompt"], params["volume"]) == ("claude", "-", "nightly")
    assert (params["max_minutes"], params["budget_usd"]) == (90, 5)


def test_the_line_of_cron_is_a_command_of_ours(tmp_path: Path) -> None:
    (block,) = re.findall(r"```crontab\n(.*?)```", PAGE, re.DOTALL)
    line = block.splitlines()[-1]
    times, command = line.split()[:5], line.split(maxsplit=5)[5]
    assert all(re.fullmatch(r"[0-9*,/-]+", each) for each in times)
    assert "%" not in command  # which is a new line to cron
    (tmp_path / "hutch").write_text('#!/bin/sh\nfor word; do echo "$word"; done >&2; cat >&2\n')
    (tmp_path / "hutch").chmod(0o755)
    (tmp_path / ".config/hutch/agents").mkdir(parents=True)
    (tmp_path / ".config/hutch/agents/nightly.md").write_text("The task.\n")
    env = {"PATH": f"{tmp_path}:/usr/bin:/bin", "HOME": str(tmp_path)}
    done = subprocess.run(["/bin/sh", "-c", command], env=env, capture_output=True, text=True, check=True)
    assert done.stdout == ""  # else cron would mail it
    *words, task = done.stderr.splitlines()
    assert task == "The task."
    params = asked(["hutch", *words])
    assert (params["name"], params["prompt"], params["volume"]) == ("claude", "-", "nightly")
    assert params["detach"] is True
