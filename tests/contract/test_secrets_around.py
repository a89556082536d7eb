"""What is around secrets: logins of the host's agents, and the programs that the host runs for a sandbox."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from support.contract_cases import shows
from support.contract_column import ORDINARY_USER, ROOT_USER, Who, home_of, who
from support.contract_host import outside_programs_with
from support.daemon import Daemon, daemon, model_config, output, run, scripted_model, turn
from support.planted import found_below
from support.secret_host import PLANTED
from support.secret_search import content_of

pytestmark = pytest.mark.slow  # real sandboxes, by two users

LOGINS = (
    ".claude/.credentials.json",
    ".codex/auth.json",
    ".gemini/oauth_creds.json",
    ".local/share/opencode/auth.json",
    ".config/gh/hosts.yml",
    ".aws/credentials",
    ".netrc",
)
STEERS = ("LD_PRELOAD", "GIT_SSH_COMMAND", "NODE_OPTIONS", "BASH_ENV", "PYTHONSTARTUP")
MARKER = f"/evil-hutch-{os.urandom(6).hex()}"


@asynccontextmanager
async def owned(user: str, config: str, env: dict[str, str]) -> AsyncIterator[tuple[Who, Path, Daemon]]:
    """A daemon of a user, in a home of his own, for which `{home}` stands."""
    found = who(user)
    with home_of(found) as home:
        for name in ("d", "work"):
            (home / name).mkdir()
            os.chown(home / name, found.uid, found.uid)
        env = {**found.env, "HOME": str(home), **env}
        python = found.python if found.prefix else ()
        async with daemon(home / "d", config.replace("{home}", str(home)), env=env, python=python) as made:
            yield found, home, made


@pytest.mark.parametrize("user", [ROOT_USER, ORDINARY_USER])
@shows("secrets/logins")
async def test_logins_of_the_host_are_in_no_volume_and_not_seen_where_the_home_is_granted(user: str) -> None:
    async with scripted_model() as url:
        config = model_config(url) + '\n[policy]\nreadable = ["{home}"]\n'
        async with owned(user, config, {"ANTHROPIC_API_KEY": "sk-another"}) as (found, home, house):
            for name in LOGINS:
                (home / name).parent.mkdir(parents=True, exist_ok=True)
                (home / name).write_text(PLANTED)
            for path in (home, *home.rglob("*")):
                os.chown(path, found.uid, found.uid)
            async with house.client() as client:
                shell = (
                    f"find {home} -type f -exec cat {{}} + 2>/dev/null; cp -r {home}/. /work; ls -A {home}"
                )
                record = await run(client, shell, volumes=["work:/work"])
                told, _ = await output(client, record)
                assert ".claude\n" in told  # the home is there
                session = await turn(client, 'SCRIPT: [{"text": "done"}]', "agent")
                assert session.last_message == "done"
                content = await content_of(client, "work") + await content_of(client, "agent")
            assert PLANTED not in told
            assert PLANTED.encode() not in content
            assert found_below(home / "d", word=PLANTED.encode()) == []


@pytest.mark.parametrize("user", [ROOT_USER, ORDINARY_USER])
@shows("secrets/host-programs")
async def test_what_steers_programs_inside_never_reaches_those_that_the_host_runs(user: str) -> None:
    written = "work/written"
    asks = f"env > {{home}}/{written}; echo some-secret-value"
    config = f"""
[secrets.key]
from_command = ["/bin/sh", "-c", "{asks}"]
hosts = ["http://127.0.0.1:9"]
place = "bearer"
env = "KEY"

[network.near]
host_services = ["127.0.0.1:9"]

[policy]
networks = ["near"]
secrets = ["key"]
"""
    async with owned(user, config, {}) as (_, home, house), house.client() as client:
        env = dict.fromkeys(STEERS, MARKER)
        record = await run(client, ["/bin/sh", "-c", "env"], env=env, network="near", secrets=["key"])
        told, _ = await output(client, record)
        assert all(f"{name}={MARKER}" in told for name in STEERS)  # they did arrive inside
        there = (home / written).read_text()
        assert "PATH=" in there
        assert MARKER not in there
        assert outside_programs_with(MARKER.encode()) == set()
