"""Images that a run names: what of one could weaken the sandbox is looked at before it starts."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePosixPath

from hutch_launchers.launcher import LauncherError
from hutch_launchers.sources import check_target

# neither an option of the engine's, nor an image's own number
NAME = re.compile(r"(?!sha256:)[a-z0-9][a-z0-9._/:@-]{0,254}", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Image:
    """An image that is there."""

    number: str  # by which it is started: a name may mean another one a moment later
    volumes: tuple[str, ...]  # folders for which an engine would keep files on the host's disk


def look_up(inspect: Callable[[str], bytes], name: str) -> Image:
    """Ask for an image by its name. `inspect` answers with a list of its description, as JSON.

    Raises LauncherError `sandbox_failed`.
    """
    if not NAME.fullmatch(name):
        raise LauncherError("sandbox_failed", f"{name[:80]!r} is no image's name", "name it as NAME:TAG")
    try:
        described = json.loads(inspect(name))[0]
        volumes = tuple(sorted((described.get("Config") or {}).get("Volumes") or {}))
        number = str(described["Id"])
    except (LauncherError, ValueError, KeyError, IndexError) as error:
        raise LauncherError(
            "sandbox_failed", f"the image {name} is not there", "bring it first: docker pull, podman pull"
        ) from error
    for volume in volumes:
        check_target(PurePosixPath(volume))
    return Image(number, volumes)
