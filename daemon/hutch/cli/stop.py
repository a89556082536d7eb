"""`hutch stop`: ends a run, a session, a group, everything, or the daemon."""

from typing import TYPE_CHECKING, Any

import click

from hutch.cli.forks import stop_group
from hutch.cli.invocation import Invocation
from hutch.cli.output import json_option, note
from hutch.cli.runs import find, tell_state
from hutch.telling.records import Record
from hutch_mcp_tools.run_records import RunRecord
from hutch_mcp_tools.service import SandboxService

if TYPE_CHECKING:
    from hutch.config import Config

_MOST = 200  # in one answer


@click.command()
@click.argument("id_", metavar="ID", required=False)
@click.option(
    "--grace",
    type=click.FloatRange(0, 300),
    metavar="SECONDS",
    help="To end by itself; 5, or an agent's own.",
)
@click.option("--remove", is_flag=True, help="Forget the session's record too; its volume stays.")
@click.option("--all", "everything", is_flag=True, help="End every run and kept sandbox; no ID then.")
@click.option("--daemon", is_flag=True, help="End the daemon itself; turns of agents go on; no ID then.")
@json_option
@click.pass_obj
def stop(invocation: Invocation, /, *, id_: str | None, as_json: bool, **options: Any) -> None:
    """End a run, a session, or all attempts of a group. Volumes stay."""
    everything, daemon = options["everything"], options["daemon"]
    if (id_ is not None) + everything + daemon != 1 and not (everything and daemon and id_ is None):
        raise click.UsageError("give the ID of a run, session or group, or --all, or --daemon")
    if everything:
        stop_all(invocation, options["grace"])
    if daemon:
        _stop_daemon(invocation)
    if id_ is None:
        return

    if id_.startswith("g-"):
        stop_group(invocation, id_, as_json=as_json)
        return

    async def work(service: SandboxService) -> Record:
        found = await find(service, id_)
        if isinstance(found, RunRecord):
            return await service.stop_run(found.run_id, options["grace"])
        return await service.stop_session(
            found.session_id, remove=options["remove"], grace_s=options["grace"]
        )

    tell_state(invocation.call(work), as_json=as_json)


def stop_all(invocation: Invocation, grace_s: float | None) -> None:
    """End all that works or waits, and every kept sandbox."""

    async def work(service: SandboxService) -> None:
        for run in await service.list_runs(_MOST, live=True):
            tell_state(await service.stop_run(run.run_id, grace_s), as_json=False)
        for session in (await service.list_sessions("running", _MOST)).sessions:
            tell_state(await service.stop_session(session.session_id, grace_s=grace_s), as_json=False)

    invocation.call(work)  # started where none runs: what works on without one is to end too


def _stop_daemon(invocation: Invocation) -> None:
    import anyio

    from hutch import client
    from hutch.errors import HutchError
    from hutch.jobs import JobFolder
    from hutch.starting import until_gone

    config = _usable(invocation)

    async def leave() -> str:
        try:
            async with client.connect(config) as daemon:
                await daemon.shut_down()
            await until_gone(config)
        except HutchError as error:
            if error.code != "daemon_absent":
                raise
            told = f"no daemon runs at {config.daemon.socket}"
        else:
            told = "the daemon has ended; what its runs had written is committed"
        left = sum(job.is_taken and job.events.exists() for job in JobFolder.all(config.daemon.state))
        return told + (f"; {left} turns of agents go on, the next daemon has them again" if left else "")

    note(anyio.run(leave))


def _usable(invocation: Invocation) -> "Config":
    """The configuration, or what is left of one that was broken since the daemon took it up."""
    from hutch.config import salvage
    from hutch.errors import HutchError

    try:
        return invocation.config
    except HutchError as error:
        note(f"{error.code}: {error.message}; going on with its state and socket alone")
        return salvage(invocation.file, invocation.env)
