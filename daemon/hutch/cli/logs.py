"""`hutch logs`: what a run has written, and with -f what it writes until it ends."""

import click

from hutch.agents import READINGS
from hutch.cli.follow import Display, Follower
from hutch.cli.invocation import Invocation
from hutch.cli.output import json_option, print_json
from hutch.cli.run import Collecting, Passing
from hutch.cli.runs import find
from hutch.cli.story import Story
from hutch.cli.waiting import Waiting
from hutch.config import Config
from hutch.errors import HutchError
from hutch_mcp_tools.run_records import RunRecord
from hutch_mcp_tools.service import SandboxService


@click.command()
@click.argument("id_", metavar="ID")
@click.option("-f", "--follow", is_flag=True, help="Until it ends.")
@click.option("--raw", is_flag=True, help="Every byte as it was written; of an agent its event lines.")
@json_option
@click.pass_obj
def logs(invocation: Invocation, /, *, id_: str, follow: bool, raw: bool, as_json: bool) -> None:
    """Print what a run has written, of a session its newest; an agent's is told as a story."""

    async def work(service: SandboxService) -> None:
        run = await _run(service, id_)
        display = Collecting() if as_json else await _display(service, run, invocation.config, raw=raw)
        follower = Follower(service, display, Waiting("waiting for output"), owns=False, outlives=True)
        if follow:
            await follower.follow(lambda wait_s, events: service.get_run(run.run_id, wait_s, events))
        else:
            await follower.catch_up(run)
        if isinstance(display, Collecting):
            print_json({"run_id": run.run_id, **display.texts})

    invocation.call(work)


async def _run(service: SandboxService, text: str) -> RunRecord:
    found = await find(service, text)
    if isinstance(found, RunRecord):
        return found
    if found.run_id is None:
        raise HutchError("run_unknown", f"session {found.session_id} has run nothing yet")
    return await service.get_run(found.run_id)


async def _display(service: SandboxService, run: RunRecord, config: Config, *, raw: bool) -> Display:
    if run.session_id and not raw:
        session = await service.get_session(run.session_id)
        agent = config.agents.get(session.agent or "")
        if agent and agent.adapter in READINGS:
            return Story(READINGS[agent.adapter]())
    return Passing(raw=raw)
