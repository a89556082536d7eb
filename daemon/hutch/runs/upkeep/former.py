"""The methods of the daemon before this one: they end what it left, whatever the configuration says since."""

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hutch.config import Method
from hutch_launchers.launcher import Launcher
from hutch_launchers.registry import OptionError, build_launcher

logger = logging.getLogger(__name__)


def former_launchers(file: Path, methods: Mapping[str, Method]) -> dict[str, Launcher]:
    """Return those that `file` notes and that are not among `methods` as they were."""
    launchers = {}
    for name, (kind, options) in _noted(file).items():
        if [kind, options] != _plain(methods).get(name):
            try:
                launchers[name] = build_launcher(kind, {**options, "name": name})
            except OptionError as error:
                logger.warning("method %s of an earlier configuration cannot be made: %s", name, error)
    return launchers


def note_methods(file: Path, methods: Mapping[str, Method]) -> None:
    """Note what this daemon makes sandboxes by. Runs begin after this."""
    if _noted(file) == _plain(methods):
        return
    written = file.with_suffix(".new")
    try:
        written.touch(mode=0o600)
        written.write_text(json.dumps(_plain(methods)))
        written.replace(file)
    except OSError as error:
        logger.warning("the methods could not be noted: %s", error)


def _noted(file: Path) -> dict[str, list[Any]]:
    try:
        found: dict[str, list[Any]] = json.loads(file.read_text())
    except (OSError, ValueError):
        return {}
    return found


def _plain(methods: Mapping[str, Method]) -> dict[str, list[Any]]:
    """As JSON has it, so that what was noted can be compared."""
    made = {name: [method.kind, dict(method.options)] for name, method in methods.items()}
    plain: dict[str, list[Any]] = json.loads(json.dumps(made, default=str))
    return plain
