"""Empty folders that stand, during a run, where nothing may be made. Written down before they are made.

Git shows no empty folder. Whoever releases a workspace last removes them, those alone that are as we made
them.
"""

import fcntl
import json
import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from hutch.errors import HutchError
from hutch.workspaces.pinning import Pinned, pinned
from hutch.workspaces.tree import Tree

_MODE = 0o755
_LOCK = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


@dataclass(slots=True)
class Placeholders:
    """Those of every run of this daemon; one list a run, in `folder`."""

    folder: Path
    roots: Collection[Path] = ()  # that are granted
    _live: dict[str, Path] = field(default_factory=dict)  # run -> its workspace

    @contextmanager
    def used(self, run_id: str, top: Pinned) -> Iterator[None]:
        """Share the workspace `top` with other runs: no placeholder goes while one of them lives."""
        lock = os.open(".", _LOCK, dir_fd=top.fd)
        try:
            fcntl.flock(lock, fcntl.LOCK_SH)  # against other daemons of this host
            self._live[run_id] = top.folder
            yield
        finally:
            self._live.pop(run_id, None)
            os.close(lock)
            self.sweep()

    def make(self, run_id: str, missing: Mapping[Path, bytes | None], *within: Pinned) -> None:
        """Make what is missing in folders that are held; what has come meanwhile is left as it is.

        Where we may make nothing, a sandbox of the same user can make nothing either. Raises OSError.
        """
        if not missing:
            return
        self._write(run_id, missing)
        for held in within:
            with Tree(held.fd) as tree:
                for path, content in missing.items():
                    if path.is_relative_to(held.folder):
                        with suppress(FileExistsError, PermissionError):
                            _make(tree, str(path.relative_to(held.folder)), content)

    def sweep(self) -> None:
        """Remove what no run needs any more, also what a dead daemon left. Idempotent."""
        for file in self.folder.glob("*.json"):
            if file.stem not in self._live:
                with suppress(HutchError, OSError, ValueError):
                    self._remove(file)

    def _remove(self, file: Path) -> None:
        said = json.loads(file.read_bytes())
        top = Path(said["workspace"])
        if any(top.is_relative_to(live) or live.is_relative_to(top) for live in self._live.values()):
            return
        if top.exists():
            with pinned(top, self.roots) as held:
                lock = os.open(".", _LOCK, dir_fd=held.fd)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                for path, content in said["made"]:
                    self._remove_ours(Path(path), content)
            except BlockingIOError:
                return  # of another daemon, a run is at work there
            finally:
                os.close(lock)
        file.unlink(missing_ok=True)

    def _remove_ours(self, path: Path, content: str | None) -> None:
        """Remove a folder that is empty, or a file that holds what we wrote and no more."""
        with suppress(HutchError, OSError), pinned(path.parent, self.roots) as held, Tree(held.fd) as tree:
            if content is None:
                tree.remove_folder(path.name)
            elif tree.read(path.name, len(content) + 1) in (content.encode(), b""):
                tree.remove(path.name)

    def _write(self, run_id: str, missing: Mapping[Path, bytes | None]) -> None:
        made = [
            (str(path), None if content is None else content.decode()) for path, content in missing.items()
        ]
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        passing = self.folder / f"{run_id}.new"
        with passing.open("w", encoding="utf-8", errors="surrogateescape") as out:
            json.dump({"workspace": str(self._live[run_id]), "made": made}, out)
            out.flush()
            os.fsync(out.fileno())
        passing.rename(self.folder / f"{run_id}.json")


def _make(tree: Tree, path: str, content: bytes | None) -> None:
    if content is None:
        tree.make_folder(path, _MODE)
        return
    with tree.new_file(path, syncs=False) as fd:
        os.write(fd, content)
        os.fchmod(fd, 0o644)
