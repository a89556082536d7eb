"""Volumes as a run left them: `NAME@RUN`, and `@RUN` alone for the one volume that it wrote.

So a step takes what an earlier one made, whoever has written the volume since.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from hutch.errors import HutchError
from hutch.mounts import read_mount
from hutch.runs.rooms import Rooms
from hutch.runs.runs import Runs
from hutch.state import Run

# Behind a name only a whole id is a run's: a tag may be called like the beginning of one
_LEFT = re.compile(
    r"(?P<new>[^:=@]+=)?(?:(?P<name>[^:=]+)@(?P<run>r-[a-z0-9]{10})|@(?P<only>r-[a-z0-9]+))(?P<rest>(?::.*)?)",
    re.DOTALL,
)


async def as_left(
    runs: Runs, volumes: Sequence[str], args: Mapping[str, object], principal: str
) -> list[str]:
    """Return the volumes with the snapshots that runs stand for.

    Raises HutchError `run_unknown`, `run_unfinished`, `volume_invalid`, what `read_mount` raises, and what
    the storage engine says of a volume that is gone.
    """
    workspace = runs.rooms.config.daemon.workspace
    resolved = []
    for text in volumes:
        if (found := _LEFT.fullmatch(text)) is None:
            resolved.append(text)
            continue
        run = await runs.find(found["run"] or found["only"], principal)
        name = read_mount(f"{found['name']}:ro", args, workspace).name if found["name"] else _only(run)
        resolved.append(f"{found['new'] or ''}{name}@{await _at(runs.rooms, run, name)}{found['rest']}")
    return resolved


def _only(run: Run) -> str:
    written = _written(run)
    if len(written) != 1:
        told = ", ".join(written) or "no volume"
        raise HutchError("volume_invalid", f"run {run.id} wrote {told}", f"name the one: NAME@{run.id}")
    return written[0]


async def _at(rooms: Rooms, run: Run, name: str) -> int:
    if not run.is_ended or name in run.unsynced:
        told = "is at work still" if not run.is_ended else f"has not stored volume {name!r} yet"
        raise HutchError("run_unfinished", f"run {run.id} {told}", f"wait for it; see: hutch show {run.id}")
    if name in run.snapshots:
        return run.snapshots[name]
    if name not in _written(run):
        raise HutchError(
            "volume_invalid",
            f"run {run.id} did not write volume {name!r}",
            f"it wrote {', '.join(_written(run)) or 'none'}",
        )
    assert run.ended_at is not None  # it changed nothing: what was there at its end
    then = datetime.fromtimestamp(run.ended_at, UTC).isoformat()
    return (await rooms.volumes.contents(rooms.volume(name), then)).snapshot


def _written(run: Run) -> list[str]:
    """The volumes that it had to write; how a run's record has them, only these have no ":ro" at the end."""
    return [text.partition(":")[0] for text in run.volumes if not text.endswith(":ro")]
