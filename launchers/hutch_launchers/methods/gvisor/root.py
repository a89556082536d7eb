"""The root of one sandbox: a copy of the skeleton, with a place for every mount."""

import shutil
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from hutch_launchers.launcher import LauncherError
from hutch_launchers.spec import Mount


def make_root(skeleton: Path, root: Path, mounts: Sequence[Mount]) -> None:
    """Copy the skeleton to `root`. Raises LauncherError for a target that leads out of it by a link."""
    shutil.copytree(skeleton, root, symlinks=True)
    for place, mount in enumerate(mounts):
        # what is within another mount is there already: runsc must not make it in a folder of the host
        if not any(mount.target.is_relative_to(earlier.target) for earlier in mounts[:place]):
            _make_point(root, mount.target, is_folder=mount.source.is_dir())


def _make_point(root: Path, target: PurePosixPath, *, is_folder: bool) -> None:
    point = root
    for part in target.parts[1:-1]:
        point /= part
        if point.is_symlink():
            raise LauncherError(
                "sandbox_failed", f"the mount target {target} is behind a link", "use another path"
            )
        point.mkdir(exist_ok=True)
    point /= target.name
    if is_folder:
        point.mkdir(exist_ok=True)
    elif not point.is_symlink():
        point.touch()
