"""`hutch doctor`: what works on this host, on what evidence, and the fix for the rest. Needs no daemon."""

from typing import Any

import click

from hutch.cli.invocation import Invocation
from hutch.cli.output import counted, json_option, print_json, size
from hutch.cli.refusal import NO_SANDBOX
from hutch.config import Config
from hutch.errors import HutchError
from hutch_mcp_tools.text import one_line

_LINE = 200

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
        _print(document, config)
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


def _print(document: Document, config: Config) -> None:
    daemon = document["daemon"]
    _line(
        daemon["running"],
        "daemon",
        daemon["url"] or "does not run; it starts when it is needed",
        optional=True,
    )
    print(f"    socket {daemon['socket']}")
    print(f"    configuration {daemon['config'] or 'none: the defaults hold'}")
    if daemon["outdated"]:
        print("    it changed since the daemon started, which still holds the old one")
        _fix("hutch stop --daemon; the next command starts it anew")
    for method in document["methods"]:
        _print_method(method, config)
    storage = document["storage"]
    _line(
        storage["works"],
        "storage",
        storage["reason"] or f"{storage['url']}, {counted(storage['volumes'], 'volume')}",
    )
    _fix(storage["fix"])
    for check in storage["checks"]:
        if check["works"]:
            click.echo(f"    {check['name']}: {one_line(check['detail'], _LINE)}")
    _print_cache(document["cache"])
    for agent in document["agents"]:
        _line(agent["works"], f"agent {agent['name']}", agent["reason"] or "found", optional=True)
        _fix(agent["fix"])


def _print_cache(cache: Document) -> None:
    use = (
        f"{size(cache['used_bytes'])} of {size(cache['max_bytes'])} in {counted(cache['folders'], 'folder')}"
    )
    _line(cache["works"], "cache", cache["reason"] or f"{use}; {size(cache['free_bytes'])} free on its disk")
    for aside in cache["set_aside"]:
        print(f"    kept, as it may not be committed: {aside['path']}, {size(aside['stored_bytes'])}")
        _fix("look into it, then remove it")


def _print_method(method: Document, config: Config) -> None:
    is_default = method["name"] == config.policy.method
    missing = f"lacks what policy.needs asks for: {', '.join(method['missing'])}" if method["missing"] else ""
    said = method["reason"] or missing or method["version"]
    _line(method["usable"], f"method {method['name']}", said, optional=not is_default)
    _fix(method["fix"])
    width = max((len(shown["mechanism"]) for shown in method["guarantees"].values()), default=0)
    for name, shown in method["guarantees"].items():
        mark = click.style("held    ", fg="green") if shown["held"] else click.style("not held", fg="yellow")
        mechanism = one_line(shown["mechanism"], 60).ljust(min(width, 60))
        click.echo(f"    {name.ljust(10)} {mark}  {mechanism}  {one_line(shown['detail'], _LINE)}")


def _line(works: bool, name: str, text: str, *, optional: bool = False) -> None:  # noqa: FBT001 - reads as a table
    mark = (
        click.style("ok ", fg="green")
        if works
        else click.style("-- ", fg="yellow")
        if optional
        else click.style("NO ", fg="red")
    )
    click.echo(f"{mark} {click.style(name, bold=True)}: {one_line(text, _LINE)}")


def _fix(text: str) -> None:
    if text:
        click.echo(f"    fix: {one_line(text, _LINE)}")
