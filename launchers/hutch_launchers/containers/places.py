"""A container's folder on the host: made before the container, removed after it, and named after its maker.

Whoever finds one whose maker has ended ends the container, at whatever instant the maker was killed.
"""

import logging
import os
import re
import secrets
import shutil
from contextlib import suppress
from pathlib import Path

from hutch_launchers import proc
from hutch_launchers.containers.engine import Engine
from hutch_launchers.foreign_group import ForeignGroup
from hutch_launchers.launcher import LauncherError

_NAME = re.compile(r"hutch-([0-9a-f]+)-([0-9a-f]+)-[0-9a-f]{8}")  # its maker's number and start
_log = logging.getLogger(__name__)


def new_name() -> str:
    """Of a container and its folder."""
    pid = os.getpid()
    return f"hutch-{pid:x}-{proc.started(pid) or 0:x}-{secrets.token_hex(4)}"


def orphans(places: Path) -> list[Path]:
    """The folders of those whose maker has ended."""
    return [place for place in places.glob("*") if _is_orphan(place.name)]


def _is_orphan(name: str) -> bool:
    found = _NAME.fullmatch(name)
    return found is not None and proc.started(int(found[1], 16)) != int(found[2], 16)


def remove(engine: Engine, place: Path) -> bool:
    """End what is left of a container and forget it; whether there was something. Blocks. Idempotent.

    The folder of one that cannot be ended stays, and so it is found again.
    """
    found = place.exists()
    with suppress(OSError, ValueError):
        pid, number = (place / "number").read_text(encoding="ascii").split()
        ForeignGroup(int(pid), number).thaw()
    try:
        image = _text(place / "image")
        if image and not _text(place / "number"):
            engine.settle(place.name, image)
        engine.remove(place.name)
    except LauncherError as error:
        _log.warning("the container %s is left for later: %s", place.name, error.message)
    else:
        shutil.rmtree(place, ignore_errors=True)
    return found


def _text(path: Path) -> str:
    with suppress(OSError):
        return path.read_text(encoding="utf-8")
    return ""


def forget_orphans(engine: Engine, places: Path) -> None:
    """Remove what is left of containers that ended with their daemon."""
    for place in orphans(places):
        remove(engine, place)
