"""The kinds of value that options take, each a function from what was typed."""

import os
import re
from pathlib import Path

import click

from hutch.config import parse_size

_SECONDS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86_400}


def size(text: str) -> int:
    """Read bytes, written "512MiB" or "2GB"."""
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


def workspace(text: str) -> str:
    """Read a folder of this host with or without ":ro"; made absolute, as the daemon stands elsewhere."""
    folder, mode = (text[:-3], text[-3:]) if text.endswith((":ro", ":rw")) else (text, "")
    if not Path(folder).is_dir():
        raise click.BadParameter(f"{folder!r} is not a folder")
    return os.path.normpath(Path(folder).absolute()) + mode
