"""`hutch sessions`: the pieces of work that last over several runs."""

from typing import get_args

import click

from hutch.cli.invocation import Invocation
from hutch.cli.output import age, cost, json_option, note, print_json, print_table, tokens
from hutch_mcp_tools.service import SandboxService
from hutch_mcp_tools.session_records import SessionPage, SessionRecord, SessionStatus
from hutch_mcp_tools.session_text import doing_now

_HEADS = ("SESSION", "STATUS", "AGENT", "VOLUME", "TURNS", "TOKENS", "COST", "ACTIVE", "LAST MESSAGE")


@click.command()
@click.option("--status", type=click.Choice(get_args(SessionStatus)), help="Only those that are so.")
@click.option("-n", "--limit", metavar="N", type=click.IntRange(1, 200), default=20, show_default=True)
@click.option("--cursor", help="Go on where a page ended.")
@json_option
@click.pass_obj
def sessions(
    invocation: Invocation,
    /,
    *,
    status: SessionStatus | None,
    limit: int,
    cursor: str | None,
    as_json: bool,
) -> None:
    """List the sessions, those at work last first; ACTIVE is how long ago."""

    async def work(service: SandboxService) -> SessionPage:
        return await service.list_sessions(status, limit, cursor)

    page = invocation.call(work)
    if as_json:
        print_json(page)
        return
    print_table(_HEADS, (_row(session) for session in page.sessions))
    if page.cursor:
        note(f"more: hutch sessions --cursor '{page.cursor}'")


def _row(session: SessionRecord) -> tuple[str, ...]:
    return (
        session.session_id,
        session.status,
        session.agent or session.kind,
        session.volume or "",
        str(session.turns),
        tokens(session.usage),
        cost(session.usage),
        age(session.updated_at),
        doing_now(session) or session.error or session.last_message or session.name or "",
    )
