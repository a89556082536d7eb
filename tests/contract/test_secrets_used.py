"""A secret that is used by a shell, Claude Code and Codex, and looked for byte by byte inside and outside."""

import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from hutch.client import Client
from support.container_engines import start_engine
from support.contract_cases import shows
from support.contract_column import ORDINARY_USER, ROOT_USER, home_of, who
from support.contract_methods import METHODS
from support.daemon import Daemon, daemon, output, run, scripted_model, turn
from support.exchange_world import Server
from support.kept_methods import named
from support.mcp_clients import codex
from support.needs import need
from support.planted import WAIT
from support.secret_host import PLANTED, Relay, SecretHost, secret_host
from support.secret_search import content_of, is_at_rest, looked_into, told_everywhere

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(400),
]  # memory is searched byte by byte, on busy machines too

# Asks both hosts, says and keeps all that it has, leaves a dump of itself, and waits to be looked into
USES = """
import os, resource, ssl, subprocess, sys, time, urllib.request as u
near, away = sys.argv[1:]
key = os.environ["KEY"]

def ask(url, context=None):
    with u.urlopen(u.Request(url, headers={"x-api-key": key}), context=context) as answer:
        return answer.read().decode() + str(answer.headers["x-echo"])

def read(path):
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""

print(ask(near), ask(away, ssl._create_unverified_context()))
subprocess.run(["sh", "-c", 'echo "$1"; env', "sh", key])
numbers = [name for name in os.listdir("/proc") if name.isdigit()]
with open("/vol/told", "wb") as told:
    told.write(b"".join(read(f"/proc/{n}/{name}") for n in numbers for name in ("environ", "cmdline")))
maps = read("/proc/self/maps").decode().splitlines()
with open("/proc/self/mem", "rb", 0) as memory, open("/vol/memory", "wb") as dump:
    for line in maps:
        place, allowed = line.split()[:2]
        if allowed.startswith("rw"):
            start, end = (int(side, 16) for side in place.split("-"))
            try:
                memory.seek(start)
                dump.write(memory.read(end - start))
            except OSError:
                pass
if not (child := os.fork()):
    os.chdir("/vol")
    most = resource.getrlimit(resource.RLIMIT_CORE)[1]
    resource.setrlimit(resource.RLIMIT_CORE, (most, most))
    os.abort()
os.waitpid(child, 0)
print("left", sorted(os.listdir("/vol")))
"""
SECONDS = 900 if os.geteuid() == 0 else 1  # of tenths, until it was looked into
USES += f"""
for _ in range({SECONDS}):
    if os.path.exists("/tmp/looked"):
        break
    time.sleep(0.1)
"""


@dataclass
class House:
    """A daemon with a method, a host that has a secret, and one that is not to have it."""

    daemon: Daemon
    client: Client
    host: SecretHost
    other: SecretHost
    method: str


@asynccontextmanager
async def house(
    method: str, user: str, folder: Path, bound: Server | Relay, other: Server, more: str = ""
) -> AsyncIterator[House]:
    start_engine(method)
    toml = next(one.toml for one in METHODS if one.name == method)
    found = who(user)
    with home_of(found) as home:
        (home / "d").mkdir()
        os.chown(home / "d", found.uid, found.uid)
        async with secret_host(home, bound) as host, secret_host(folder, other) as elsewhere:
            more = more.replace("{url}", host.url).replace("{port}", str(host.port))
            config = host.config(
                more=f"needs = []\nforce_sandbox = false\n{more}\n[methods.{named(method)}]\n{toml}\n"
                + elsewhere.network("elsewhere")
            ).replace('["near"]', '["near", "elsewhere"]')
            env = {**found.env, **host.env, "ANTHROPIC_API_KEY": PLANTED, "OPENAI_API_KEY": PLANTED}
            python = found.python if found.prefix else ()
            async with daemon(home / "d", config, env=env, python=python) as made, made.client() as client:
                await _need(client, method)
                yield House(made, client, host, elsewhere, named(method))
            assert is_at_rest(made) == []


async def _need(client: Client, method: str) -> None:
    (known,) = [one for one in (await client.doctor())["methods"] if one["name"] == named(method)]
    need(method, known["available"], f"the method {method} ({known['reason']})", known["fix"])


USED = [
    ("bubblewrap", ROOT_USER),
    ("bubblewrap", ORDINARY_USER),
    ("nsjail", ROOT_USER),
    ("docker", ROOT_USER),
]


@pytest.mark.parametrize(("method", "user"), USED)
@shows("secrets/used")
async def test_a_secret_that_a_command_uses_is_in_nothing_that_it_sees_or_leaves(
    method: str, user: str, tmp_path: Path
) -> None:
    echo = [("Content-Length", str(len(PLANTED))), ("X-Echo", PLANTED)]
    bound, other = Server(headers=echo, body=[PLANTED.encode()]), Server(headers=[("Content-Length", "5")])
    async with house(method, user, tmp_path, bound, other) as here:
        command = ["python3", "-c", USES, here.host.url, here.other.url]
        asked: dict[str, Any] = {
            "network": "near,elsewhere",
            "secrets": ["key"],
            "volumes": ["left:/vol"],
        }
        record = await looked_into(run(here.client, command, method=here.method, **asked))
        assert record.exit_code == 0, await output(here.client, record)
        assert bound.seen[0].headers["x-api-key"] == PLANTED
        phantom = other.seen[0].headers["x-api-key"]
        told = await told_everywhere(here.daemon, here.client, record)
        echoed = phantom[: len(PLANTED)]  # as long as what it stands for
        assert f"{echoed}{echoed} helloNone\n" in told  # an answer's body and its header, then the other's
        assert f"KEY={phantom}" in told
        assert "left ['memory', 'told']" in told  # no core of its own: whoever crashes leaves none
        assert PLANTED not in told
        left = await content_of(here.client, "left")
        assert left.count(phantom.encode()) > 3  # the environments, the arguments, the dump
        assert PLANTED.encode() not in left
        assert is_at_rest(here.daemon) == []  # also while the database is open


MODEL = '[agents.claude]\nbase_url = "{url}"\nnetwork = "near"'


@pytest.mark.parametrize("method", ["bubblewrap", "nsjail"])
@shows("secrets/used")
async def test_claude_codes_key_is_nowhere_in_its_sandbox(method: str, tmp_path: Path) -> None:
    async with scripted_model() as url:
        relay = Relay(url.removeprefix("http://"))
        async with house(method, ROOT_USER, tmp_path, relay, Server(), MODEL) as here:
            script = [{"shell": f"env; cat /proc/*/environ; {WAIT}"}, {"text": "done"}]
            prompt = f"SCRIPT: {json.dumps(script)}"
            session = await looked_into(turn(here.client, prompt, "home", method=here.method))
            assert (session.status, session.last_message) == ("idle", "done"), session.error
            assert f"x-api-key: {PLANTED}\r\n".lower().encode() in relay.said.lower()
            content = await content_of(here.client, "home")
            assert b"ANTHROPIC_API_KEY=sk-ant-api03-hutch" in content  # its tool showed it the placeholder
            assert PLANTED.encode() not in content
            record = await here.client.get_run(session.run_id or "")
            told = await told_everywhere(here.daemon, here.client, record)
            assert PLANTED not in told + session.model_dump_json()
            assert is_at_rest(here.daemon) == []


@pytest.mark.parametrize("method", ["bubblewrap", "nsjail"])
@shows("secrets/used")
async def test_codex_key_is_nowhere_in_its_sandbox(method: str, tmp_path: Path) -> None:
    program = codex()
    more = f'readable = ["{program.parent}"]\n[secrets.openai]\nhosts = ["localhost:{{port}}"]'
    async with scripted_model() as url:
        relay = Relay(url.removeprefix("http://"))
        async with house(method, ROOT_USER, tmp_path, relay, Server(), more) as here:
            provider = (
                f'{{name="s", base_url="{here.host.url}/v1", env_key="OPENAI_API_KEY", wire_api="responses"}}'
            )
            settings = ["model_provider=s", f"model_providers.s={provider}"]
            settings += ["analytics.enabled=false", "features.plugins=false"]
            options = [word for setting in settings for word in ("-c", setting)]
            words = [str(program), "exec", "--json", "--skip-git-repo-check", *options]
            prompt = f"SCRIPT: {json.dumps([{'shell': WAIT}, {'text': 'done'}])}"
            work = run(
                here.client,
                [*words, "--dangerously-bypass-approvals-and-sandbox", prompt],
                method=here.method,
                network="near",
                secrets=["openai"],
                env={"CODEX_SQLITE_HOME": "/tmp"},
            )
            record = await looked_into(work)
            told = await told_everywhere(here.daemon, here.client, record)
            assert record.exit_code == 0, told
            assert '"text":"done"' in told
            assert f"Bearer {PLANTED}".encode() in relay.said
            assert PLANTED not in told
            assert is_at_rest(here.daemon) == []
