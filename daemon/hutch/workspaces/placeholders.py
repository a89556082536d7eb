"""Empty folders that stand, during a run, where nothing may be made. Written down before they are made.

Git shows no empty folder. Whoever releases a workspace last removes them, those alone that are as we made
them.
"""

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

_MODE = 0o755


@dataclass(slots=True)
class Placeholders:
    """Those of every run of this daemon; one list a run, in `folder`."""

    folder: Path
    _live: dict[str, Path] = field(default_factory=dict)  # run -> its workspace

    @contextmanager
    def used(self, run_id: str, top: Path) -> Iterator[None]:
        """Share the workspace `top` with other runs: no placeholder goes while one of them lives."""
        lock = os.open(top, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(lock, fcntl.LOCK_SH)  # against other daemons of this host
            self._live[run_id] = top
            yield
        finally:
            self._live.pop(run_id, None)
            os.close(lock)
            self.sweep()

    def make(self, run_id: str, missing: Mapping[Path, bytes | None]) -> None:
        """Make what is missing; what has come meanwhile is left as it is. Raises OSError.

        Where we may make nothing, a sandbox of the same user can make nothing either.
        """
        if not missing:
            return
        self._write(run_id, missing)
        for path, content in missing.items():
            with suppress(FileExistsError, PermissionError):
                if content is None:
                    path.mkdir(_MODE)
                else:
                    _write_new(path, content)

    def sweep(self) -> None:
        """Remove what no run needs any more, also what a dead daemon left. Idempotent."""
        for file in self.folder.glob("*.json"):
            if file.stem not in self._live:
                with suppress(OSError, ValueError):
                    self._remove(file)

    def _remove(self, file: Path) -> None:
        said = json.loads(file.read_bytes())
        top = Path(said["workspace"])
        if any(top.is_relative_to(live) or live.is_relative_to(top) for live in self._live.values()):
            return
        with suppress(FileNotFoundError):
            lock = os.open(top, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                for path, content in said["made"]:
                    _remove_ours(Path(path), content)
            except BlockingIOError:
                return  # of another daemon, a run is at work there
            finally:
                os.close(lock)
        file.unlink(missing_ok=True)

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


def _write_new(path: Path, content: bytes) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    try:
        os.write(fd, content)
    finally:
        os.close(fd)


def _remove_ours(path: Path, content: str | None) -> None:
    """Remove a folder that is empty, or a file that holds what we wrote and no more."""
    with suppress(OSError):
        if content is None:
            path.rmdir()
        elif path.is_file() and not path.is_symlink() and path.read_bytes() in (content.encode(), b""):
            path.unlink()
