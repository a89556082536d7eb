"""What a run may leave on the host, and must not."""

import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from hutch_launchers.hierarchy import find_hierarchy
from hutch_launchers.proc import pids_with_environment
from hutch_launchers.reaping import MARK


def groups_of(run_id: str) -> list[Path]:
    hierarchy = find_hierarchy()
    folders = hierarchy.folders if hierarchy else ()
    return [folder / run_id for folder in folders if (folder / run_id).exists()]


def processes_of(run_id: str) -> list[int]:
    return list(pids_with_environment(f"{MARK}={run_id}"))


def nothing_left(run_id: str) -> bool:
    return groups_of(run_id) == [] and processes_of(run_id) == []


def lives(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def open_fds() -> dict[str, str]:
    found = {}
    for entry in Path("/proc/self/fd").iterdir():
        try:
            found[entry.name] = str(entry.readlink())
        except OSError:
            continue
    return found


@contextmanager
def no_new_fds() -> Generator[None]:
    before = set(open_fds())
    yield
    after = open_fds()
    # What is the same for all sandboxes stays open, and comes with the first of this process
    ours = ("/proc/", "/memfd:hutch-constant", str(Path("/proc/self/ns/mnt").readlink()))
    new = {fd: name for fd, name in after.items() if fd not in before and not any(o in name for o in ours)}
    assert new == {}, f"descriptors left open by {os.getpid()}: {new}"
