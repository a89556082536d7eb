"""`hutch ui`: opens the page in a browser, signed in."""

import os
import webbrowser
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import click

from hutch.cli.invocation import Invocation
from hutch.cli.kinds import token_in, token_option
from hutch.cli.output import duration, json_option, note, print_json
from hutch.errors import HutchError

if TYPE_CHECKING:
    from hutch.config import Config

_LOOPBACK = ("127.", "localhost", "::1")
_DESKTOP = ("DISPLAY", "WAYLAND_DISPLAY")


@click.command()
@click.option("--print", "only_print", is_flag=True, help="Print the link instead of opening it.")
@token_option
@json_option
@click.pass_obj
def ui(invocation: Invocation, /, *, only_print: bool, token_env: str | None, as_json: bool) -> None:
    """Open the page, which shows what is at work, already signed in.

    Without a desktop its link is printed. A link works once, and soon not any more.
    """
    config = invocation.config
    told = _sign_in(config, token_in(invocation.env, token_env))
    url = link(_daemon_url(config), told)
    if as_json:
        print_json({"url": url, "valid_s": told["valid_s"]})
    elif only_print or not any(invocation.env.get(name) for name in _DESKTOP) or not _open(config, url):
        print(url)
        note(f"it works once, within {duration(told['valid_s'])}")


def link(daemon_url: str, told: Mapping[str, Any]) -> str:
    """Return where a browser signs in: at the page's own name, where that leads to the daemon."""
    at = urlsplit(daemon_url)
    is_loopback = (at.hostname or "").startswith(_LOOPBACK)
    place = f"{told['host']}:{at.port}" if is_loopback else at.netloc
    return f"http://{place}{told['path']}"


def _sign_in(config: "Config", token: str | None) -> dict[str, Any]:
    import anyio

    from hutch import client
    from hutch.errors import unwrapped
    from hutch_mcp_tools.service import ServiceError

    async def ask() -> dict[str, Any]:
        async with client.connect(config, start=True, token=token) as daemon:
            return await daemon.sign_in()

    try:
        with unwrapped():
            return anyio.run(ask)
    except ServiceError as error:
        raise HutchError(error.code, error.message, error.hint) from None


def _daemon_url(config: "Config") -> str:
    from hutch.client import daemon_url

    url = daemon_url(config)
    if not urlsplit(url).hostname:
        raise HutchError(
            "page_unreachable",
            "the daemon listens on no TCP port",
            "see: daemon.listen, or its socket unit",
        )
    return url


def _open(config: "Config", url: str) -> bool:
    """Open a file that leads there: the words of a browser's command line are no secret on this host."""
    file = config.daemon.state / "page.html"
    _write(file, f'<!doctype html><meta http-equiv="refresh" content="0; url={escape(url)}">\n')
    if not webbrowser.open(file.as_uri()):
        return False
    note("the page opens in your browser; if it does not: hutch ui --print")
    return True


def _write(file: Path, text: str) -> None:
    file.unlink(missing_ok=True)
    fd = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "w", encoding="utf-8") as opened:
        opened.write(text)
