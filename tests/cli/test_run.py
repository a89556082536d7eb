"""`hutch run`: what a command writes and how it ends is what we write and how we end."""

import json
import os
import pty
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from select import select

import pytest

from hutch.cli import main
from hutch.cli.invocation import Invocation
from hutch.cli.run import tell_end
from hutch_mcp_tools.run_records import RunRecord
from support.cli import command, connect_to_fake, environment
from support.mcp_service import NOW
from support.streams import LONG_S


def hutch(*arguments: str) -> int:
    return main(arguments, Invocation(env={"HOME": "/nonexistent"}, connect=connect_to_fake))


def test_output_is_passed_on_byte_for_byte_and_the_exit_code_too(
    capfdbinary: pytest.CaptureFixture[bytes],
) -> None:
    assert hutch("run", "--", "sh", "-c", r"printf '\033[2J\377\r'; printf oops >&2; exit 7") == 7
    assert capfdbinary.readouterr() == (b"\x1b[2J\xff\r", b"oops")


@pytest.mark.parametrize(
    ("options", "script", "code", "said"),
    [
        ((), "exit 0", 0, ""),
        ((), "kill -9 $$", 137, ""),
        (("--timeout", "0.2s"), "sleep 60", 124, "error: timed out"),
    ],
)
def test_every_end_has_its_exit_code(
    options: tuple[str, ...], script: str, code: int, said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert hutch("run", *options, "--", "sh", "-c", script) == code
    assert capfd.readouterr().err.startswith(said)


@pytest.mark.parametrize(
    ("reason", "is_of_folders"),
    [
        ("a private folder is full", True),
        ("quota_exceeded: volume 'a' may hold 1 byte; raise max_bytes", False),
    ],
)
def test_a_full_disk_has_the_hint_of_what_is_full(
    reason: str, is_of_folders: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    fields = {"run_id": "r-1", "status": "disk_full", "command": "x", "method": "none", "reason": reason}
    tell_end(RunRecord.model_validate({**fields, "created_at": NOW}))
    said = capfd.readouterr().err
    assert said.startswith(f"error: disk full: {reason}\n")
    assert ("--disk" in said) is is_of_folders


def test_a_mode_that_is_none_is_told_with_those_there_are(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert hutch("run", "-w", f"{tmp_path}:wr", "--", "true") == 2
    assert "'wr' is no mode: ro, rw, review, worktree" in capfd.readouterr().err


def test_options_after_the_command_belong_to_the_command(capfd: pytest.CaptureFixture[str]) -> None:
    assert hutch("run", "echo", "--json", "-v", "--") == 0
    assert capfd.readouterr().out == "--json -v --\n"


def test_json_is_one_document_with_the_record_and_the_output(capfd: pytest.CaptureFixture[str]) -> None:
    assert hutch("run", "--json", "--env", "A=b", "sh", "-c", "echo $A; exit 3") == 3
    document = json.loads(capfd.readouterr().out)
    assert {name: document[name] for name in ("status", "exit_code", "stdout", "stderr")} == {
        "status": "exited",
        "exit_code": 3,
        "stdout": "b\n",
        "stderr": "",
    }


def test_a_value_that_no_request_can_hold_is_a_usage_error(capfd: pytest.CaptureFixture[str]) -> None:
    assert hutch("run", "--timeout", "48h", "true") == 2
    assert capfd.readouterr().err.startswith("error: --timeout: may be at most 86400 s\n")
    assert hutch("agent", "claude", "") == 2
    assert capfd.readouterr().err.startswith("error: prompt: ")


def test_what_the_service_refuses_is_an_error_with_a_hint(capfd: pytest.CaptureFixture[str]) -> None:
    assert hutch("run", "--method", "x", "true") == 1
    assert capfd.readouterr().err == "error: method_unknown: no method is called 'x'\nhint: known: none\n"


# As a program ------------------------------------------------------------


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return dict(environment(tmp_path))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupt_ends_the_run_and_waits_for_its_end(
    number: signal.Signals, environ: dict[str, str]
) -> None:
    script = "echo $$; sleep 60 & wait"
    with subprocess.Popen(
        command("run", "--", "sh", "-c", script),
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as program:
        assert program.stdout is not None
        inside = int(program.stdout.readline())
        program.send_signal(number)
        _, said = program.communicate(timeout=LONG_S)
    assert program.returncode == 128 + number
    assert "error: cancelled" in said
    with pytest.raises(ProcessLookupError):
        os.kill(inside, 0)


def test_piped_input_reaches_the_command(environ: dict[str, str]) -> None:
    done = subprocess.run(
        command("run", "tr", "a-z", "A-Z"),
        env=environ,
        input="höhe\n",
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "HöHE\n"


def test_input_of_any_bytes_arrives_as_it_is(environ: dict[str, str]) -> None:
    data = bytes(range(256)) * 1000
    done = subprocess.run(command("run", "cat"), env=environ, input=data, capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (0, data)


def test_input_that_is_too_much_is_refused_before_anything_runs(environ: dict[str, str]) -> None:
    data = bytes(12 << 20)
    done = subprocess.run(command("run", "cat"), env=environ, input=data, capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr.startswith(b"error: input_invalid: the input is over 11 MiB\nhint: ")


def test_waiting_for_input_is_said(environ: dict[str, str]) -> None:
    with subprocess.Popen(
        command("run", "cat"),
        env=environ,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as program:
        assert program.stderr is not None
        assert program.stderr.readline().startswith("… waiting for the end of the input")
        assert program.communicate("x", timeout=LONG_S)[0] == "x"


def read_terminal(descriptor: int) -> Iterator[bytes]:
    while select([descriptor], [], [], LONG_S)[0]:
        try:
            data = os.read(descriptor, 65536)
        except OSError:  # EIO: the last program has closed the terminal
            return
        yield data


@pytest.mark.parametrize(("raw", "shown"), [((), b"\x1b[31mred\x1b[0m"), (("--raw",), b"\x1b[2J\x1b[31mred")])
def test_a_terminal_gets_colours_and_nothing_that_it_would_obey(
    raw: tuple[str, ...], shown: bytes, environ: dict[str, str]
) -> None:
    ours, theirs = pty.openpty()
    script = r"printf '\033[2J\033[31mred'"
    with subprocess.Popen(
        command("run", *raw, "--", "sh", "-c", script),
        env=environ,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    ) as program:
        os.close(theirs)
        seen = b"".join(read_terminal(ours))
        os.close(ours)
    assert (program.returncode, seen) == (0, shown)
