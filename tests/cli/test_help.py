"""The help of commands with many options, as a terminal of 80 columns shows it."""

import click
import pytest
from click.testing import CliRunner

from hutch.cli import hutch
from hutch.cli.agent import agent
from hutch.cli.run import run


@pytest.mark.parametrize("command", [agent, run])
def test_examples_come_first_and_every_option_stands_in_a_section_that_fits(command: click.Command) -> None:
    shown = CliRunner().invoke(hutch, [str(command.name), "--help"], terminal_width=80).output
    assert all(len(line) <= 80 for line in shown.splitlines())
    titles = [line[:-1] for line in shown.splitlines() if line.endswith(":") and not line.startswith(" ")]
    assert titles[:2] == ["Examples", "What runs"]
    assert titles[-1] == "Output and help"
    listed = [line.split()[0].rstrip(",") for line in shown.splitlines() if line.startswith("  -")]
    options = [param.opts[0] for param in command.params if isinstance(param, click.Option)]
    assert sorted(listed) == sorted([*options, "-h"])
