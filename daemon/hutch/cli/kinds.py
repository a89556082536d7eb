"""The kinds of value that options take, each a function from what was typed."""

import json
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click

from hutch_launchers.sizes import parse_size

Command = TypeVar("Command", bound=Callable[..., Any])

WORKSPACE_MODES = ("ro", "rw", "review", "worktree")
_SECONDS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86_400}

token_option = click.option(
    "--token-env", metavar="NAME", help="Act with the token in this environment variable."
)


def token_in(env: Mapping[str, str], name: str | None) -> str | None:
    """Return the token that `token_option` names; None: the owner's own. Raises click.UsageError."""
    token = env.get(name, "").strip() if name else None
    if name and not token:
        raise click.UsageError(f"the environment variable {name} is not set")
    return token


def size(text: str) -> int:
    """Read bytes, written "512MiB", "512M" or "2GB"."""
    count = parse_size(text)
    if not count:
        raise click.BadParameter(f"{text!r} is not a size such as 512MiB or 2GB")
    return count


def duration(text: str) -> float:
    """Read seconds, written "90", "90s", "15m" or "2h"."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(s|m|min|h|d)?", text, re.ASCII)
    if not found or not float(found[1]):
        raise click.BadParameter(f"{text!r} is not a time such as 90s, 15m or 2h")
    return float(found[1]) * _SECONDS[found[2] or "s"]


def variable(text: str) -> tuple[str, str]:
    """Read an environment variable, "NAME=VALUE", or "NAME" with the value that it has here."""
    name, equals, value = text.partition("=")
    if not equals and name not in os.environ:
        raise click.BadParameter(f"{name!r} is not set here; write NAME=VALUE")
    return name, value if equals else os.environ[name]


def argument(text: str) -> tuple[str, object]:
    """Read an argument of a run, "NAME=TEXT", or "NAME:=JSON" for what is not text."""
    found = re.fullmatch(r"([A-Za-z0-9_-]+)(:?)=(.*)", text, re.ASCII | re.DOTALL)
    if not found:
        raise click.BadParameter(f"{text!r} is not an argument; write NAME=TEXT or NAME:=JSON")
    if not found[2]:
        return found[1], found[3]
    try:
        return found[1], json.loads(found[3], parse_constant=_no_json)
    except (ValueError, RecursionError):
        raise click.BadParameter(f"{found[3][:80]!r} is not JSON; text is written NAME=TEXT") from None


def json_object(text: str) -> dict[str, Any]:
    """Read a file that holds a JSON object."""
    try:
        value = json.loads(Path(text).read_bytes(), parse_constant=_no_json)
    except OSError as error:
        raise click.BadParameter(f"{text}: {error.strerror}") from None
    except (ValueError, RecursionError):
        raise click.BadParameter(f"{text} is not JSON") from None
    if not isinstance(value, dict):
        raise click.BadParameter(f"{text} holds no JSON object")
    return value


def _no_json(word: str) -> None:
    raise ValueError(word)


method_option = click.option("--method", metavar="NAME", help="How the sandbox is made.")
image_option = click.option(
    "--image", metavar="NAME", help="The root of the sandbox; one that policy.images grants."
)
tier_option = click.option(
    "--tier", metavar="NAME", help="A named policy: review, workspace, offline, online, or your own."
)
secret_option = click.option(
    "--secret",
    multiple=True,
    metavar="NAME[:env]",
    help="A secret that policy.secrets grants, used and not seen; with :env its value itself goes inside.",
)
wait_volume_option = click.option(
    "--wait-volume",
    type=duration,
    metavar="TIME",
    default=None,
    help="How long to wait for a volume that somebody else writes: 10m.",
)


def workspace(text: str) -> str:
    """Read a folder of this host with or without ":MODE"; made absolute, as the daemon stands elsewhere."""
    folder, colon, word = text.rpartition(":")
    mode = f":{word}" if colon and word in WORKSPACE_MODES else ""
    folder = folder if mode else text
    if not Path(folder).is_dir():
        if colon and Path(text.rpartition(":")[0]).is_dir():
            raise click.BadParameter(f"{word!r} is no mode: {', '.join(WORKSPACE_MODES)}")
        raise click.BadParameter(f"{folder!r} is not a folder")
    return os.path.normpath(Path(folder).absolute()) + mode


pause_option = click.option(
    "--pause-at-budget", is_flag=True, help="Hold it still at the end of its budget instead of ending it."
)


def budget_options(command: Command) -> Command:
    """Add what a run may spend on models."""
    for option in (
        click.option(
            "--budget-requests", type=click.IntRange(1), metavar="N", help="The most requests to models."
        ),
        click.option(
            "--budget-tokens",
            type=click.IntRange(1),
            metavar="N",
            help="The most tokens that models may take and give.",
        ),
        click.option(
            "--budget-usd",
            type=click.FloatRange(0, min_open=True),
            metavar="USD",
            help="The most that it may spend on models.",
        ),
    ):
        command = option(command)
    return command
