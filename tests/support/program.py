"""The `hutch` command as a person has it: a program of its own, on a daemon of the test's."""

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import anyio

from support.daemon import Daemon


@dataclass(frozen=True)
class Done:
    """How a program ended, and what it wrote."""

    code: int
    stdout: str
    stderr: str


async def hutch(made: Daemon, *words: str | Path, stdin: bytes = b"", folder: Path | None = None) -> Done:
    """Run `hutch WORDS` to its end."""
    command = [sys.executable, "-m", "hutch", *map(str, words)]
    return await program(command, environment(made), stdin, folder)


def environment(made: Daemon) -> Mapping[str, str]:
    """What a program needs to find the daemon."""
    return {
        "PATH": os.environ["PATH"],
        "LANG": "C.UTF-8",
        "HUTCH_CONFIG": str(made.folder / "config.toml"),
        **made.env,
    }


async def program(
    command: list[str], env: Mapping[str, str], stdin: bytes = b"", folder: Path | None = None
) -> Done:
    """Run a program to its end."""
    done = await anyio.run_process(
        command, input=stdin, env=env, check=False, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    return Done(done.returncode, done.stdout.decode(), done.stderr.decode())
