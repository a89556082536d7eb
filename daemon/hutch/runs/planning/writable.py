"""What `policy.writable` may not grant: folders in which the host runs, or obeys, what a sandbox plants.

Every sandbox may write all of them, and nothing in them is protected: workspaces are for such folders.
"""

import os
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path

from hutch.errors import HutchError
from hutch.workspaces.git import is_bare_repository


def refuse_unprotected(folders: Collection[Path], names: Collection[str]) -> None:
    """Look at each folder, and for repositories at the folders in it; deeper it is not looked.

    Raises HutchError `path_denied`.
    """
    for folder in folders:
        for found in _obeyed(folder.resolve(), names):
            raise HutchError(
                "path_denied",
                f"policy.writable grants {folder}, and this machine would obey what is written to {found}",
                "grant a folder that holds no such thing, or list it in policy.workspaces instead",
            )


def _obeyed(folder: Path, names: Collection[str]) -> Iterator[Path]:
    if {".git", *names} & set(folder.parts):
        yield folder
    yield from (path for name in (".git", *names) if os.path.lexists(path := folder / name))
    with suppress(OSError), os.scandir(folder) as entries:
        found = list(entries)
        if is_bare_repository({entry.name for entry in found}):
            yield folder
        inner = (Path(entry.path, ".git") for entry in found if entry.is_dir(follow_symlinks=False))
        yield from (path for path in inner if os.path.lexists(path))
