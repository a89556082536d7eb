"""One column of the table of the contract: a method, run by a certain user, on a stage of its own."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import AsyncGenerator, Generator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from hutch.client import Client
from hutch_launchers.contract.attacking import PROGRAMS, Try, program_text, told
from hutch_launchers.contract.stage import Stage, stage
from hutch_mcp_tools.run_records import RunRecord, RunRequest
from hutch_mcp_tools.service import ServiceError
from support.container_engines import USER
from support.daemon import ROOT, Daemon, daemon, output, run

_GUEST = '[principals.guest]\nvolumes = {"guest-*" = "rw", "public" = "ro"}\n'


@dataclass(frozen=True, slots=True)
class Who:
    """The user that a daemon runs as."""

    name: str
    uid: int
    prefix: tuple[str, ...] = ()  # starts a program as that user

    @property
    def python(self) -> tuple[str, ...]:
        return (*self.prefix, "/usr/bin/python3" if self.prefix else sys.executable)

    @property
    def env(self) -> Mapping[str, str]:
        return {"PYTHONPATH": os.pathsep.join(_import_paths()), "PYTHONDONTWRITEBYTECODE": "1"}


ROOT_USER, ORDINARY_USER = "root", "ordinary user"


def who(name: str) -> Who:
    """Find a way to be `name`; skips the test, saying why, where there is none."""
    if name == ROOT_USER:
        return Who(name, 0) if os.geteuid() == 0 else pytest.skip("the tests do not run as root")
    if os.geteuid() != 0:
        return Who(name, os.geteuid())
    user = str(USER)
    found = Who(name, USER, ("setpriv", "--reuid", user, "--regid", user, "--clear-groups"))
    trial = subprocess.run(
        [*found.python, "-c", "import aiosqlite, blake3, pydantic_core, zstandard"],
        env=dict(found.env),
        capture_output=True,
        text=True,
        check=False,
    )
    if trial.returncode:
        last = (trial.stderr.strip() or "?").splitlines()[-1]
        pytest.skip(f"an ordinary user cannot load the requirements with /usr/bin/python3: {last}")
    return found


@dataclass
class Column:
    """A running daemon with its stage, and the results of the attack programs that were run so far."""

    who: Who
    method: str
    stage: Stage
    daemon: Daemon
    client: Client
    _attacked: dict[str, tuple[list[Try], str]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return f"{self.method} ({self.who.name})"

    async def attack(self, group: str) -> tuple[list[Try], str]:
        """What the attack programs of a group told in a sandbox of the daemon, and any trouble; run once."""
        if group not in self._attacked:
            self._attacked[group] = await self._attack(group)
        return self._attacked[group]

    async def _attack(self, group: str) -> tuple[list[Try], str]:
        facts = json.dumps({**self.stage.facts, "daemon_port": self.port})
        record = await self.run(
            ["/usr/bin/python3", "-I", "-c", program_text(PROGRAMS[group]), facts],
            env={"HUTCH_WORKSPACE": "/workspace", "HUTCH_VOLUME": "/vol", "HUTCH_GIVEN": "given"},
            volumes=[f"attacked-{group}:/vol"],
            workspace=str(self.stage.workspace),
            timeout_s=50,
        )
        stdout, stderr = await self.output(record)
        tries, trouble = told(stdout)
        return tries, trouble and f"{trouble}: {stderr[-300:]}"

    async def run(self, command: str | list[str], **values: Any) -> RunRecord:
        return await run(self.client, command, **self._asked(values))

    async def begin(self, command: str | list[str], *, says: str = "", **values: Any) -> RunRecord:
        """Start a command and return when it runs and, if asked, its stdout holds `says`."""
        request = RunRequest.model_validate({"command": command, **self._asked(values)})
        record = await self.client.run(request, 0)
        while record.status == "starting" or (says and says not in (await self.output(record))[0]):
            assert not record.is_ended, (record, await self.output(record))
            record = await self.client.get_run(record.run_id, 0.05)
        return record

    async def refusal(self, **values: Any) -> ServiceError:
        """Ask for a run that must be refused."""
        request = RunRequest.model_validate({"command": "true", **self._asked(values)})
        with pytest.raises(ServiceError) as refused:
            await self.client.run(request, 20)
        return refused.value

    def _asked(self, values: Mapping[str, Any]) -> dict[str, Any]:
        # the method of a session was settled when it was opened
        is_settled = values.get("session_id") not in (None, "new")
        return dict(values) if is_settled else {"method": self.method, **values}

    async def output(self, record: RunRecord) -> tuple[str, str]:
        return await output(self.client, record)

    @property
    def port(self) -> int:
        return int(self.daemon.url.rpartition(":")[2])


@contextmanager
def home_of(user: Who) -> Generator[Path]:
    """An empty folder that belongs to `user` and that it can reach."""
    folder = Path(tempfile.mkdtemp(prefix="hutch-contract-"))
    try:
        os.chown(folder, user.uid, user.uid)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@asynccontextmanager
async def column(name: str, *, method: str = "bubblewrap", more: str = "") -> AsyncGenerator[Column]:
    """A daemon run by the user `name`, with canaries all around it."""
    user = who(name)
    with stage(user.uid) as staged:
        folder = staged.folder / "d"
        folder.mkdir()
        os.chown(folder, user.uid, user.uid)
        agent = str(staged.workspace / "service.sock")
        env = {**user.env, "HUTCH_TEST_CREDENTIAL": staged.secret, "SSH_AUTH_SOCK": agent}
        config = f'\n[policy]\nworkspaces = ["{staged.workspace}"]\n{more}\n{_GUEST}'
        async with daemon(folder, config, env=env, python=user.python) as made, made.client() as client:
            yield Column(user, method, staged, made, client)


def _import_paths() -> Sequence[str]:
    return [
        *(str(ROOT / part) for part in ("daemon", "launchers", "mcp_tools")),
        sysconfig.get_path("purelib"),
    ]
