"""What a sandbox is never shown of the folders that it is granted: empty mounts over it."""

import os
import pwd
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path, PurePath, PurePosixPath

from hutch.config import Config
from hutch.config.credentials import CREDENTIALS
from hutch.errors import HutchError
from hutch.runs.planning.patterns import found
from hutch_launchers.spec import Mount

_MOST = 1000  # masks of one sandbox


def masks(
    config: Config, granted: Sequence[Mount], more: Iterable[tuple[Path, str]] = ()
) -> tuple[Mount, ...]:
    """Return empty mounts over all that is denied and there now, below any of the `granted` folders.

    `more`: folders with patterns in them, besides those of the configuration. In a writable folder each
    folder on the way to a mask is mounted onto itself, so that it cannot be renamed from under its mask.

    Raises HutchError `path_denied` for a grant that is itself denied.
    """
    denied = set(_places(config, more))
    mounts: dict[PurePosixPath, Mount] = {}
    for grant in granted:
        root = grant.source.resolve()
        for place in sorted(denied):
            if root.is_relative_to(place):
                raise HutchError(
                    "path_denied",
                    f"{grant.source} is in {place}, which no sandbox is shown",
                    "grant another folder; what holds credentials is never granted",
                )
            if place.is_relative_to(root):
                mounts |= {mount.target: mount for mount in _mask(config, grant, place.relative_to(root))}
    if len(mounts) > _MOST:
        raise HutchError(
            "path_denied", f"over {_MOST} paths would have to be hidden below what is granted", "grant less"
        )
    return tuple(mounts.values())


def hidden_below(masks: Iterable[Mount], target: PurePosixPath) -> frozenset[str]:
    """What masks hide below a target, by its path from there."""
    hidden = (mask.target for mask in masks if not mask.writable)
    return frozenset(str(path.relative_to(target)) for path in hidden if path.is_relative_to(target))


def held_in_copy(masks: Iterable[Mount], copy: Path, target: PurePosixPath) -> tuple[Mount, ...]:
    """Return the folders of a copy that are above a mask, mounted onto themselves, outer ones first.

    Renamed, they would take the mask along, and what it hides would have another name in the copy.
    """
    inner = [mask.target.relative_to(target) for mask in masks if mask.target.is_relative_to(target)]
    above = {parent for path in inner for parent in path.parents[:-1]}
    return tuple(
        Mount(copy / path, target / path, writable=True)
        for path in sorted(above, key=lambda path: len(path.parts))
        if (copy / path).is_dir() and (copy / path).resolve() == copy.resolve() / path
    )


def _mask(config: Config, grant: Mount, path: Path) -> Iterator[Mount]:
    if grant.writable:
        for parent in reversed(path.parents[:-1]):
            yield Mount(grant.source.resolve() / parent, grant.target / parent, writable=True)
    is_folder = (grant.source.resolve() / path).is_dir()
    yield Mount(_empty(config, is_folder=is_folder), grant.target / path)


def _places(config: Config, more: Iterable[tuple[Path, str]]) -> Iterator[Path]:
    """All that is denied and there now, without links."""
    daemon = config.daemon
    yield from (place.resolve() for place in (daemon.state, daemon.cache, daemon.socket))
    homes = [(home, pattern) for home in _homes() for pattern in CREDENTIALS]
    owners = [(Path(path.anchor), str(path.relative_to(path.anchor))) for path in config.policy.denied]
    for folder, pattern in (*homes, *owners, *more):
        for place in found(folder, PurePath(pattern)):
            with suppress(OSError):  # a link to nothing, or to itself
                real = Path(os.path.realpath(place, strict=True))
                if not (place.is_symlink() and place.parent.resolve().is_relative_to(real)):
                    yield real  # a link to a folder that it is in hides nothing of its own


def _homes() -> list[Path]:
    """Everybody's on this host: what the daemon may read, a sandbox of its could."""
    said = os.environ.get("HOME", "")
    homes = {Path(user.pw_dir) for user in pwd.getpwall()} | ({Path(said)} if said else set())
    return sorted(home for home in homes if home.is_absolute() and len(home.parts) > 1 and home.is_dir())


def _empty(config: Config, *, is_folder: bool) -> Path:
    """An empty folder or file of the daemon's own."""
    place = config.daemon.state / "empty"
    folder, file = place / "folder", place / "file"
    if not file.exists():
        folder.mkdir(parents=True, exist_ok=True, mode=0o555)
        file.touch(mode=0o444)
    return folder if is_folder else file
