"""What hostile output, arguments and paths can do: to a terminal, a log, a command line, a volume."""

import os
import subprocess
import sys
import threading

import pytest

from hutch_mcp_tools.service import ServiceError
from hutch_mcp_tools.volume_records import ReadVolumeRequest
from support.contract_cases import shows
from support.contract_column import Column

pytestmark = pytest.mark.slow  # real sandboxes, by two users

_ESCAPES = b"\x1b]0;title\x07\x1b[2J\x1b[31mred\x1b[0m\x9b31m\x1bP+q\x1b\\\x08\x7f\r\xe2\x80\xaetxt\n"
_FORGED = "2026-01-01 00:00:00,000 INFO hutch.app run=r-forged ends status=exited exit_code=0"


@shows("daemon/output")
async def test_escapes_and_forged_lines_are_harmless_in_log_terminal_and_answers(sandbox: Column) -> None:
    script = f"import sys; sys.stdout.buffer.write({_ESCAPES!r}); print(); print({_FORGED!r})"
    record = await sandbox.run(["/usr/bin/python3", "-c", script, "\x1b[31m\n" + _FORGED])
    assert _FORGED not in [line.strip() for line in sandbox.daemon.log().splitlines()]
    shown = _on_a_terminal(sandbox, "logs", record.run_id) + _on_a_terminal(sandbox, "ps", "--all")
    for bad in (b"\x1b]0;", b"\x1b[2J", b"\x9b31m", b"\x1bP", b"\x08", "\u202e".encode()):
        assert bad not in shown, bad
    assert b"red" in shown


@shows("daemon/arguments")
@pytest.mark.parametrize(
    "argv",
    [
        ["echo", "--", "-n", "--bind", "/", "/"],
        [
            "echo",
            "$(id)",
            "`id`",
            ";id",
            "&&",
            "|",
            ">",
            "*",
            "{command}",
            "{cwd}",
            "${HOME}",
            "%s",
            "\n",
            "'",
            '"',
        ],
        ["printf", "%s|", "--args", "99", "--ro-bind", "/", "/out"],
        ["/bin/echo", "\x1b[0m", "é", "\\0", "-"],
    ],
)
async def test_arguments_arrive_as_they_are(sandbox: Column, argv: list[str]) -> None:
    record = await sandbox.run(argv)
    expected = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    assert (await sandbox.output(record))[0] == expected


@shows("daemon/arguments")
@pytest.mark.parametrize("program", ["--help", "--ro-bind", "-c", "--unshare-all", "--version", "{command}"])
async def test_a_program_that_looks_like_a_flag_is_a_program_that_is_not_there(
    sandbox: Column, program: str
) -> None:
    record = await sandbox.run([program, "/", "/"])
    assert record.exit_code != 0
    stdout, _ = await sandbox.output(record)
    assert stdout == ""


@shows("daemon/read-volume")
@pytest.mark.parametrize("path", ["../../state.db", "/../../token", "/link/canary", "/up/token", "/link"])
async def test_read_volume_stays_beneath_the_volume(sandbox: Column, path: str) -> None:
    link = ["/bin/sh", "-c", f"ln -sfn {sandbox.stage.out} link; ln -sfn ../../../../.. up; echo x > file"]
    await sandbox.run(link, volumes=["beneath"])
    request = ReadVolumeRequest(volume="beneath", path=path)
    if path == "/link":
        assert (await sandbox.client.read_volume(request)).data_base64 is None
        return
    with pytest.raises(ServiceError) as refused:
        await sandbox.client.read_volume(request)
    assert refused.value.code in ("path_invalid", "path_unknown", "not_a_folder")


def _on_a_terminal(made: Column, *words: str) -> bytes:
    """What `hutch` writes when its stdout is a terminal."""
    master, slave = os.openpty()
    env = {
        "HUTCH_CONFIG": str(made.daemon.folder / "config.toml"),
        "PATH": os.environ["PATH"],
        "HOME": "/",
        "TERM": "xterm",
    }
    process = subprocess.Popen([sys.executable, "-m", "hutch", *words], stdout=slave, stderr=slave, env=env)
    os.close(slave)
    seen: list[bytes] = []

    def drain() -> None:
        try:
            while data := os.read(master, 65536):
                seen.append(data)
        except OSError:  # the terminal's end
            return

    reader = threading.Thread(target=drain)
    reader.start()
    process.wait(60)
    reader.join(60)
    os.close(master)
    return b"".join(seen)
