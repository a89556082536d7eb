"""`hutch agent`: a task for an agent in a sandbox, told as it works; its volume keeps work and session."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from hutch.agents import READINGS, read_instructions, read_skills
from hutch.cli import kinds
from hutch.cli.arguments import args_option, arguments
from hutch.cli.follow import Display, Follower
from hutch.cli.forks import attempt, forks_of, forks_options
from hutch.cli.invocation import Invocation, asked
from hutch.cli.output import json_option, note, print_json
from hutch.cli.run import Collecting
from hutch.cli.sectioned import SectionedCommand
from hutch.cli.story import Story
from hutch.cli.turn_told import code_of, tell_begun, tell_ended
from hutch.cli.waiting import Waiting
from hutch.config.kinds import is_name
from hutch.errors import HutchError
from hutch_mcp_tools.agent_records import AgentRequest, TurnBounds
from hutch_mcp_tools.events import Events
from hutch_mcp_tools.run_records import RunRecord
from hutch_mcp_tools.service import SandboxService
from hutch_mcp_tools.session_records import SessionRecord

_EXAMPLES = """
hutch agent claude -v web 'Write a test for the parser.'
hutch agent claude -v web 'Now make it pass.'           # it remembers
hutch agent claude -w .:review 'Mend the build.'        # then: hutch diff
hutch agent claude -v web --forks 3 'Make it faster.'   # then: hutch compare
hutch agent claude -v web --detach --budget-usd 2 - < task.md
"""
_SECTIONS = {
    "What runs": "--model --session --new --instructions --skills --bundle --mcp-config --hutch"
    " --output-schema",
    "Where": "--volume --arg --workspace --wait-volume",
    "Policy": "--tier --method --image",
    "Network and secrets": "--net --secret",
    "Limits and budgets": "--max-minutes --max-turns --budget-usd --budget-tokens --budget-requests"
    " --pause-at-budget",
    "Unattended": "--detach --retries",
    "Several at once": "--forks --variant --group-budget-usd --group-budget-tokens",
}


@click.command(cls=SectionedCommand, sections=_SECTIONS, examples=_EXAMPLES)
@click.argument("name")
@click.argument("prompt")
@click.option(
    "-v", "--volume", metavar="[NEW=]NAME[@AT]", help="Its home, at /workspace; a new one unless given."
)
@args_option
@click.option(
    "-w",
    "--workspace",
    type=kinds.workspace,
    metavar="DIR[:MODE]",
    help="A folder of this host to work in; MODE is ro, rw, review or worktree.",
)
@click.option("--session", metavar="ID", help="Go on with this session.")
@click.option("--new", is_flag=True, help="A new conversation, though the volume holds one.")
@click.option(
    "--instructions", metavar="FILE|NAME", help="How to work, for this turn: a file, or a bundle's."
)
@click.option("--skills", metavar="DIR|NAME", help="A skill's folder, or one of several; or a bundle's.")
@click.option("--bundle", multiple=True, metavar="NAME", help="A bundle of the configuration, all of it.")
@click.option("--model", metavar="NAME[,NAME…]", help="The model to ask; several go with --forks.")
@forks_options
@click.option("--net", metavar="NAME,…", help="Networks of the configuration instead of the agent's own.")
@kinds.secret_option
@kinds.method_option
@kinds.image_option
@kinds.tier_option
@click.option(
    "--max-minutes",
    type=click.FloatRange(0, 1440, min_open=True),
    metavar="N",
    help="The most time that it may take.",
)
@click.option(
    "--max-turns", type=click.IntRange(1, 10_000), metavar="N", help="The most answers of its model."
)
@click.option(
    "--output-schema",
    type=kinds.json_object,
    metavar="FILE",
    help="A JSON Schema of its result, which is checked and printed.",
)
@click.option(
    "--mcp-config",
    type=kinds.json_object,
    metavar="FILE",
    help='MCP servers for it, as clients write them: {"mcpServers": …}.',
)
@click.option("--hutch", is_flag=True, help="Let it run commands in further sandboxes, by MCP.")
@click.option(
    "--retries",
    type=click.IntRange(0, 100),
    metavar="N",
    help="Further runs while the model's service is overloaded.",
)
@kinds.budget_options
@kinds.pause_option
@kinds.wait_volume_option
@click.option("--detach", is_flag=True, help="Print the session's id, and leave it at work.")
@click.option("--print-id", is_flag=True, help="Print the run's id; what it tells goes to stderr.")
@json_option
@click.pass_obj
def agent(
    invocation: Invocation,
    /,
    *,
    name: str,
    prompt: str,
    detach: bool,
    print_id: bool,
    as_json: bool,
    **options: Any,
) -> int:
    """Give the agent NAME a task: PROMPT, or "-" for standard input.

    Its work and its conversation are in its volume: the next task there goes on with both.
    """
    forks = forks_of(options)
    task = _task(name, prompt, options)
    if forks is not None:
        if isinstance(task, _NextTask):
            raise click.UsageError("--session goes on with one session; --forks goes with --volume")
        return attempt(invocation, task.request, forks, detach=detach, as_json=as_json)
    if detach:
        tell_begun(invocation.call(lambda service: task.begin(service, 0, None)), as_json=as_json)
        return 0

    def display() -> Display:
        return Collecting() if as_json else _story(invocation, name, aside=print_id)

    async def work(service: SandboxService) -> int:
        session, run, signal = await _followed(service, task, display, comes_back=not as_json)
        if as_json:
            print_json(session)
        else:
            tell_ended(session, run, task.bounds, is_told=not print_id)
        if print_id and not as_json:
            print(run.run_id)
        return 128 + signal if signal else code_of(session, run)

    return invocation.call(work)


async def _followed(
    service: SandboxService, task: "_NewTask | _NextTask", display: Callable[[], Display], *, comes_back: bool
) -> tuple[SessionRecord, RunRecord, int]:
    """Follow a turn to its end, run by run; the third is the signal that made us end it, or 0."""
    begun: SessionRecord | None = None

    async def follow(wait_s: float, events: Events) -> RunRecord:
        session = begun or await task.begin(service, 0, None)
        return await service.get_run(session.run_id or "", wait_s, events)

    while True:
        waiting = Waiting("waiting for the daemon", comes_back=comes_back)
        follower = Follower(service, display(), waiting, owns=True, outlives=True)
        run = await follower.follow(follow)
        begun = await service.get_session(run.session_id or "")
        if begun.run_id == run.run_id or follower.signal:
            return begun, run, follower.signal
        note(f"· {run.reason or run.status}; {begun.note}")


@dataclass(frozen=True, slots=True)
class _NewTask:
    """A task for an agent in a volume."""

    request: AgentRequest

    @property
    def bounds(self) -> TurnBounds:
        return self.request

    async def begin(self, service: SandboxService, wait_s: float, events: Events | None) -> SessionRecord:
        return await service.start_agent(self.request, wait_s, events)


@dataclass(frozen=True, slots=True)
class _NextTask:
    """A task for an agent that is at work in a session."""

    agent: str
    session_id: str
    prompt: str
    bounds: TurnBounds

    async def begin(self, service: SandboxService, wait_s: float, events: Events | None) -> SessionRecord:
        session = await service.get_session(self.session_id)
        if session.agent != self.agent:
            whose = session.agent or session.kind
            raise HutchError(
                "session_invalid",
                f"session {session.session_id} is one of {whose!r}, not of {self.agent!r}",
                "see: hutch sessions",
            )
        return await service.send_to_agent(self.session_id, self.prompt, wait_s, events, self.bounds)


def _task(name: str, prompt: str, options: dict[str, Any]) -> _NewTask | _NextTask:
    session = options.pop("session")
    if prompt == "-":
        prompt = sys.stdin.read()
    bounds = {name: options.pop(name) for name in TurnBounds.model_fields}
    if session:
        if given := [option for option, value in options.items() if value]:
            word = given[0].replace("_", "-")
            raise click.UsageError(
                f"--session repeats what the session began with; --{word} goes with --volume"
            )
        return _NextTask(name, session, prompt, asked(TurnBounds, **bounds))
    instructions, skills = _place(options["instructions"]), _place(options["skills"])
    request = asked(
        AgentRequest,
        agent=name,
        prompt=prompt,
        volume=options["volume"],
        workspace=options["workspace"],
        args=arguments(options["arg"]),
        model=options["model"],
        method=options["method"],
        image=options["image"],
        tier=options["tier"],
        network=options["net"],
        secrets=list(options["secret"]),
        instructions=read_instructions(instructions) if instructions else None,
        skills=_skills(skills) if skills else {},
        bundles=_bundles(options),
        mcp_servers=_servers(options["mcp_config"] or {}),
        hutch=options["hutch"],
        resume=not options["new"],
        **bounds,
        volume_wait_s=options["wait_volume"] or 0,
    )
    return _NewTask(request)


def _servers(config: dict[str, Any]) -> dict[str, Any]:
    """The servers in a client's configuration file, or in a table of servers alone."""
    servers = config.get("mcpServers", config)
    if not isinstance(servers, dict):
        raise click.UsageError("--mcp-config holds no table of servers")
    return servers


def _skills(folder: Path) -> dict[str, dict[str, str]]:
    """The skills in a folder: itself one, or a folder for each."""
    if not (skills := read_skills(folder)):
        raise click.UsageError(f"{folder} holds no skill: a folder with a SKILL.md")
    return skills


def _bundles(options: dict[str, Any]) -> list[str]:
    """What is named by its name, and not by its place."""
    parts = ((options[part], part) for part in ("instructions", "skills"))
    return [*options["bundle"], *(f"{given}:{part}" for given, part in parts if given and not _place(given))]


def _place(given: str | None) -> Path | None:
    """A file or folder of this host; None: it is the name of a bundle."""
    if given is None or (is_name(given) and not Path(given).exists()):
        return None
    return Path(given)


def _story(invocation: Invocation, name: str, *, aside: bool = False) -> Display:
    configured = invocation.config.agents.get(name)
    if configured is None:
        known = ", ".join(sorted(invocation.config.agents))
        raise HutchError("agent_unknown", f"no agent is called {name!r}", f"known: {known}")
    return Story(READINGS[configured.adapter](), aside=aside)
