"""Notes of measurements under way: what a killed daemon left of one, the next of its method clears away."""

import fcntl
import json
import os
import shutil
import tempfile
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

_PREFIX, _NOTE = "hutch-measuring-", "note"


@contextmanager
def noted(method: str, runs: Sequence[str], folders: Sequence[Path]) -> Generator[None]:
    """Note, before any of them is made, the ids of its sandboxes and the folders that it removes itself."""
    with tempfile.TemporaryDirectory(prefix=_PREFIX) as place, Path(place, _NOTE).open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # the kernel lets go of it when we die
        json.dump({"method": method, "runs": list(runs), "folders": [str(path) for path in folders]}, file)
        file.flush()
        yield


async def clear_interrupted(method: str, reap: Callable[[str], Awaitable[bool]]) -> None:
    """End what is left of measurements of the method whose daemon has died."""
    for note in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*/{_NOTE}"):
        try:
            if note.parent.lstat().st_uid != os.geteuid():
                continue
            with note.open(encoding="utf-8") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                said = json.load(file)
                if said["method"] != method:
                    continue
                for run_id in said["runs"]:
                    await reap(run_id)
                for folder in said["folders"]:
                    shutil.rmtree(folder, ignore_errors=True)
                shutil.rmtree(note.parent, ignore_errors=True)
        except (OSError, ValueError):  # it is another's, is under way, or died before it made anything
            continue
