"""What is left of a configuration that cannot be used: enough to find the daemon that took it up before."""

import os
import tomllib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from hutch.config.load import parse
from hutch.config.places import expand_home, find, place
from hutch.config.records import Config, Daemon


def salvage(path: Path | None, env: Mapping[str, str]) -> Config:
    """Where the daemon of a configuration is that cannot be used: of the rest, the defaults.

    Of what is no TOML the lines before the mistake count.
    """
    file = path or find(env, is_root=os.geteuid() == 0)
    told = expand_home(_legible(file).get("daemon", {}), env) if file else {}
    given = told if isinstance(told, dict) else {}
    said = replace(Daemon(), state=_path(given.get("state")), socket=_path(given.get("socket")))
    return replace(parse("", env, file), daemon=place(said, env))


def _path(value: object) -> Path:
    return Path(value) if isinstance(value, str) and Path(value).is_absolute() else Path()


def _legible(file: Path) -> dict[str, object]:
    try:
        lines = file.read_bytes().decode(errors="replace").splitlines(keepends=True)
    except OSError:
        return {}
    for count in range(len(lines), 0, -1):
        try:
            return tomllib.loads("".join(lines[:count]))
        except tomllib.TOMLDecodeError:
            continue
    return {}
