"""What does a turn of a coding agent cost under Hutch with everything on, and without?

    .venv/bin/python benchmarks/agents.py [--agents two|all] [--model plain|tls]
        [--store s3|directory] [--quick] [--json]

A turn writes a file, runs a command and says so: three calls of a model that answers at once
(scripts/scripted_model.py), so that what is left is the agent's own work and that of what is around it. Each
agent takes it as a process by itself, in a bare bubblewrap, under its own sandbox, and by Hutch: asked for
over the API of a warm daemon, in its sandbox, on a volume that is streamed to S3 (Ceph's gateway on loopback,
which has the same cores), through the egress, metered, with a placeholder for its key; with `--model tls` its
model speaks TLS, which Hutch ends with a certificate of the run's own. They take turns. The words that start
the agent are the same in each.

What a turn by Hutch spends its time on is told by the events of its runner, in rounds of their own: each
`until` lasts from the one before it. From when the sandbox runs until the agent has ended, the time is the
agent's.

Processor time and memory are of rounds of their own, in which everything is looked at every 30 ms. Memory is
what processes have for themselves and their share of the rest (PSS), at its peak. `of Hutch` are the daemon,
what it starts on this host, and bubblewrap; `of the agent` is all that is in the sandbox.
"""

import sys
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import anyio

from _agent_ways import Alone, Hutch, Way
from _measure import Row, options, report
from _stores import Bucket, s3_bucket
from _watching import watching
from hutch.agents import Agent, ClaudeCode, Codex, Gemini, OpenCode
from hutch.errors import HutchError
from hutch_launchers.methods.bubblewrap.binary import find_bwrap
from hutch_mcp_tools.service import ServiceError
from support.agent_sandbox import NODE_AGENTS
from support.ceph import S3Server
from support.daemon import daemon, model_config, scripted_model
from support.daemon_stores import s3_config
from support.secret_host import Relay, secret_host

MIB = 1 << 20
Missing = dict[str, str]
Samples = dict[str, list[float]]

_KEYS = dict.fromkeys(("ANTHROPIC_API_KEY", "OPENAI_API_KEY", "GEMINI_API_KEY"), "any word")
_MODELS = {
    "claude": "claude-opus-5-5",
    "codex": "gpt-5.5",
    "opencode": "mine/gpt-5.5",
    "gemini": "gemini-2.5-pro",
}
_MODEL_OF = '\n[agents.{name}]\nbase_url = "{url}"\nnetwork = "model"\nmodel = "{model}"\n'
_PROGRAMS = {
    "opencode": NODE_AGENTS / "opencode-linux-x64/bin/opencode",
    "gemini": NODE_AGENTS / "@google/gemini-cli/bundle/gemini.js",
}
_SECRETS = {"opencode": 'secrets = ["openai"]\n'}
_NO_SANDBOX = {"opencode": "it has none", "gemini": "its own is a container with an image of its maker"}
BY_ITSELF, BY_HUTCH, IN_BWRAP, IN_ITS_OWN = "by itself", "by Hutch", "in bare bwrap", "in its own sandbox"


async def main() -> None:
    given = options(__doc__, agents=("two", "all"), model=("plain", "tls"), store=("s3", "directory"))
    rounds, looked_at = (4, 1) if given.quick else (30, 5)
    missing: Missing = {}
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="hutch-bench-")))
        bucket = stack.enter_context(s3_bucket()) if given.choices["store"] == "s3" else None
        url, trust = await stack.enter_async_context(model(folder, given.choices["model"]))
        agents = find_agents(url, given.choices["agents"], missing)
        names = [agent.name for agent in agents]
        missing |= {f"{name} {IN_ITS_OWN}": _NO_SANDBOX[name] for name in names if name in _NO_SANDBOX}
        ways = await stack.enter_async_context(all_ways(agents, url, trust, bucket, folder))
        ways = await that_run(ways, missing)
        walls = await timed(ways, rounds)
        parts = await phased(ways, rounds)
        used = await looked_upon(ways, looked_at)
    rows = [Row.of(f"turn, {name}", "s", seconds) for name, seconds in walls.items()]
    rows += [Row.of(name, "s", seconds) for name, seconds in parts.items()]
    rows += [Row.of(name, unit, values) for (name, unit), values in used.items()]
    title = "A turn of an agent: model {model}, volumes {store}".format_map(given.choices)
    report(title, rows, compared(rows, names), given, missing)


@asynccontextmanager
async def model(folder: Path, kind: str) -> AsyncGenerator[tuple[str, Mapping[str, str]]]:
    """Its URL, and the environment that trusts it."""
    async with scripted_model() as url:
        if kind == "plain":
            yield url, {}
            return
        async with secret_host(folder, Relay(url.partition("://")[2])) as host:
            file = str(host.authority)
            yield host.url, {"SSL_CERT_FILE": file, "NODE_EXTRA_CA_CERTS": file}


def find_agents(url: str, wanted: str, missing: Missing) -> list[Agent]:
    """Those that are installed."""
    node = "scripts/install-node-tools"
    finds: dict[str, Callable[[], Agent]] = {
        "claude": lambda: ClaudeCode.find(base_url=url),
        "codex": lambda: Codex.find(base_url=f"{url}/v1"),
    }
    if wanted == "all":
        finds["opencode"] = lambda: OpenCode.find(_PROGRAMS["opencode"], f"{url}/v1")
        finds["gemini"] = lambda: Gemini.find(_PROGRAMS["gemini"], url)
    found = []
    for name, find in finds.items():
        try:
            found.append(find())
        except HutchError as error:
            missing[name] = f"{error.message}: {error.hint if name in ('claude', 'codex') else node}"
    return found


@asynccontextmanager
async def all_ways(
    agents: list[Agent], url: str, trust: Mapping[str, str], bucket: Bucket | None, folder: Path
) -> AsyncGenerator[list[Way]]:
    """Every way of every agent, ready to be taken."""
    bwrap = Path((await find_bwrap(None)).path)
    env = {**_KEYS, **trust, "PATH": f"{bwrap.parent}:/usr/bin:/bin", "LANG": "C.UTF-8"}
    config = model_config(url) + "".join(_table(agent.name, url) for agent in agents)
    if bucket:
        server = S3Server(bucket.endpoint, bucket.name, bucket.access_key, bucket.secret_key)
        config += s3_config(server, folder)
    started = daemon(folder / "d", config, env={**_KEYS, **trust}, starter=(sys.executable,))
    async with started as made, made.client() as client:
        ways = []
        for agent in agents:
            alone = partial(Alone, agent, _MODELS[agent.name], env=env)
            takes: dict[str, Alone | Hutch] = {
                BY_ITSELF: alone(_folder(folder, agent, "alone")),
                BY_HUTCH: Hutch(agent.name, _MODELS[agent.name], f"work-{agent.name}", made, client),
                IN_BWRAP: alone(_folder(folder, agent, "bare"), bwrap=str(bwrap)),
            }
            if agent.name not in _NO_SANDBOX:
                takes[IN_ITS_OWN] = alone(_folder(folder, agent, "own"), is_in_its_own=True)
            ways += [Way(f"{agent.name} {name}", take, take.watch) for name, take in takes.items()]
        yield ways


def _table(name: str, url: str) -> str:
    """Of the daemon's configuration; Claude Code's is in `model_config`."""
    if name == "claude":
        return ""
    base_url = url if name == "gemini" else f"{url}/v1"
    table = _MODEL_OF.format(name=name, url=base_url, model=_MODELS[name])
    program = _PROGRAMS.get(name)
    return f"{table}{_SECRETS.get(name, '')}" + (f'command = "{program}"\n' if program else "")


def _folder(folder: Path, agent: Agent, name: str) -> Path:
    made = folder / f"{agent.name}-{name}" / "work"
    made.mkdir(parents=True)
    return made


async def that_run(ways: list[Way], missing: Missing) -> list[Way]:
    """Those whose first turn is done, which warms them up too."""
    run = []
    for way in ways:
        try:
            await way.take()
            run.append(way)
        except (AssertionError, OSError, ServiceError) as error:
            missing[way.name] = " ".join(str(error).split())[:300]
    return run


async def timed(ways: list[Way], rounds: int) -> Samples:
    """Seconds of each way's turns, in turns."""
    walls: Samples = {way.name: [] for way in ways}
    for _ in range(rounds):
        for way in ways:
            began = time.perf_counter()
            await way.take()
            walls[way.name].append(time.perf_counter() - began)
    return walls


async def phased(ways: list[Way], rounds: int) -> Samples:
    """Seconds of turns by Hutch, by what they went to."""
    parts: Samples = {}
    for _ in range(rounds):
        for way in ways:
            if isinstance(way.take, Hutch):
                for phase, seconds in (await way.take.phases()).items():
                    parts.setdefault(f"{way.name}, until {phase}", []).append(seconds)
    return parts


async def looked_upon(ways: list[Way], rounds: int) -> dict[tuple[str, str], list[float]]:
    """By what was measured, and its unit: processor time and memory of each way's turns."""
    used: dict[tuple[str, str], list[float]] = {}
    for _ in range(rounds):
        for way in ways:
            watch = way.watch()
            async with watching(watch):
                await way.take()
            for ours, whose in ((False, "the agent"), (True, "Hutch")):
                if not ours or watch.peak[ours]:
                    used.setdefault((f"processor of {whose}, {way.name}", "s"), []).append(
                        watch.cpu_s(ours=ours)
                    )
                    used.setdefault((f"memory of {whose}, {way.name}", "MiB"), []).append(
                        watch.peak[ours] / MIB
                    )
    return used


def compared(rows: list[Row], agents: list[str]) -> dict[str, float]:
    """Each way's turn to that of the agent by itself; what Hutch adds, in the unit of its aim."""
    p50 = {row.name: row.p50 for row in rows}
    found = {}
    for agent in agents:
        alone = p50[f"turn, {agent} {BY_ITSELF}"]
        for way in (BY_HUTCH, IN_BWRAP, IN_ITS_OWN):
            if took := p50.get(f"turn, {agent} {way}"):
                found[f"{agent} {way} / {BY_ITSELF}"] = took / alone
                found[f"{agent} {way} - {BY_ITSELF}, ms"] = (took - alone) * 1000
    return found


if __name__ == "__main__":
    anyio.run(main)
