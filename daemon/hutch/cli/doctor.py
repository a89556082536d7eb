"""`hutch doctor`: what works on this host, on what evidence, and the fix for the rest. Needs no daemon."""

from pathlib import Path
from typing import Any

import click

from hutch.cli.checks import LINE, fix, line
from hutch.cli.invocation import Invocation
from hutch.cli.methods_table import print_methods
from hutch.cli.output import counted, json_option, print_json
from hutch.config import Config
from hutch.config.places import own_file
from hutch.errors import HutchError
from hutch.exit_codes import NO_SANDBOX
from hutch_launchers.sizes import size
from hutch_mcp_tools.text import one_line

Document = dict[str, Any]


@click.command()
@click.option("--fresh", is_flag=True, help="Measure again instead of telling what is known.")
@json_option
@click.pass_obj
def doctor(invocation: Invocation, /, *, fresh: bool, as_json: bool) -> int:
    """Say what works on this host, and how to mend what does not.

    A guarantee is what a canary in a real sandbox has shown here, not what a method claims. Ends with 3
    when the method of the policy cannot be used.
    """
    import anyio

    config = invocation.config
    document = anyio.run(_examine, config, fresh)
    if as_json:
        print_json(document)
    else:
        _print(document, config, own_file(invocation.env))
    default = next((m for m in document["methods"] if m["name"] == config.policy.method), None)
    return 0 if default and default["usable"] else NO_SANDBOX


async def _examine(config: Config, fresh: bool) -> Document:  # noqa: FBT001 - anyio.run passes by position
    """Ask the daemon, whose rights are the ones that count; without one, look for ourselves."""
    from hutch import app, client

    try:
        async with client.connect(config) as daemon:
            document = await daemon.doctor(fresh=fresh)
        running, url, outdated = True, client.daemon_url(config), client.is_outdated(config)
    except HutchError as error:
        if error.code != "daemon_absent":
            raise
        document = await app.diagnose(config, fresh=fresh)
        running, url, outdated = False, "", False
    place = {"socket": str(config.daemon.socket), "config": str(config.file) if config.file else None}
    return {"daemon": {"running": running, "url": url, "outdated": outdated, **place}, **document}


def _print(document: Document, config: Config, own: Path) -> None:
    daemon = document["daemon"]
    line(
        daemon["running"],
        "daemon",
        daemon["url"] or "does not run; it starts when it is needed",
        optional=True,
    )
    print(f"    socket {daemon['socket']}")
    print(f"    configuration {daemon['config'] or f'none: the defaults hold; yours would be {own}'}")
    if daemon["outdated"]:
        print("    it changed since the daemon started, which still holds the old one")
        fix("hutch stop --daemon; the next command starts it anew")
    print_methods(document["methods"], config.policy.method)
    storage = document["storage"]
    line(
        storage["works"],
        "storage",
        storage["reason"] or f"{storage['url']}, {counted(storage['volumes'], 'volume')}",
    )
    fix(storage["fix"])
    for check in storage["checks"]:
        if check["works"]:
            click.echo(f"    {check['name']}: {one_line(check['detail'], LINE)}")
    _print_cache(document["cache"])
    for agent in document["agents"]:
        line(agent["works"], f"agent {agent['name']}", agent["reason"] or "found", optional=True)
        fix(agent["fix"])


def _print_cache(cache: Document) -> None:
    use = (
        f"{size(cache['used_bytes'])} of {size(cache['max_bytes'])} in {counted(cache['folders'], 'folder')}"
    )
    line(cache["works"], "cache", cache["reason"] or f"{use}; {size(cache['free_bytes'])} free on its disk")
    for aside in cache["set_aside"]:
        print(f"    kept, as it may not be committed: {aside['path']}, {size(aside['stored_bytes'])}")
        fix("look into it, then remove it")
