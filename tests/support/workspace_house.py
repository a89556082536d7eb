"""A daemon of root or of an ordinary user, and a git repository of the same user for it to work in."""

import os
import subprocess
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hutch.client import Client
from hutch_mcp_tools.run_records import RunRecord, RunRequest
from support.contract_column import Who, home_of, who
from support.daemon import Daemon, daemon, output, run

GIT = {
    "GIT_AUTHOR_NAME": "a",
    "GIT_AUTHOR_EMAIL": "a@b",
    "GIT_COMMITTER_NAME": "a",
    "GIT_COMMITTER_EMAIL": "a@b",
}


@dataclass
class House:
    """What a test of workspaces works with."""

    who: Who
    daemon: Daemon
    client: Client
    folder: Path  # granted
    state: Path

    def git(self, *words: str, at: Path | None = None) -> str:
        """Run git on the host, as the user whose repository it is, with its settings alone."""
        env = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", **GIT}
        command = [*self.who.prefix, "git", "-C", str(at or self.folder), *words]
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def write(self, name: str, text: str = "") -> Path:
        """Make a file of the user's in the workspace."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        for made in (path, *path.parents):
            if made.is_relative_to(self.folder):
                os.chown(made, self.who.uid, self.who.uid)
        return path

    def repository(self) -> None:
        """Make the workspace a repository with one commit."""
        self.write("README", "one\n")
        self.git("init", "-q", "-b", "main")
        self.git("add", "README")
        self.git("commit", "-qm", "one")

    async def run(self, command: str, mode: str = "rw", **values: Any) -> RunRecord:
        return await run(self.client, command, workspace=f"{self.folder}:{mode}", env=GIT, **values)

    def request(self, command: str, mode: str = "rw", **values: Any) -> RunRequest:
        """What `run` asks for, to be asked without waiting."""
        return RunRequest(command=command, workspace=f"{self.folder}:{mode}", env=GIT, **values)

    async def out(self, command: str, mode: str = "rw", **values: Any) -> str:
        """What a command that succeeds writes to its standard output."""
        record = await self.run(command, mode, **values)
        out, err = await output(self.client, record)
        assert record.exit_code == 0, f"{record.status} {record.reason} {out} {err}"
        return out

    def listing(self) -> list[str]:
        """All that is in the workspace, as far as its names go."""
        return sorted(str(path.relative_to(self.folder)) for path in self.folder.rglob("*"))


@asynccontextmanager
async def house(name: str, more: str = "") -> AsyncGenerator[House]:
    """A daemon that is run by the user `name`, and an empty folder that it may grant."""
    user = who(name)
    with home_of(user) as home:
        granted, folder = home / "src" / "app", home / "d"
        for made in (granted.parent, granted, folder):
            made.mkdir()
            os.chown(made, user.uid, user.uid)
        config = f'\n[policy]\nworkspaces = ["{granted.parent}"]\n{more}'
        async with (
            daemon(folder, config, env=user.env, python=user.python) as running,
            running.client() as client,
        ):
            yield House(user, running, client, granted, folder / "state")
