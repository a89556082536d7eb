"""Ends what is left of jobs that nobody takes any more: of processes that were killed."""

import logging
import shutil
from pathlib import Path

from hutch.deadlines import let_keeper_go
from hutch.errors import HutchError
from hutch.jobs import JobFolder
from hutch_launchers.registry import OptionError, build_launcher

logger = logging.getLogger(__name__)


async def end_left(folder: JobFolder, private: Path) -> None:
    """End the sandbox of a job that the caller holds, and take away its files. Its volumes are not touched.

    Whoever leases them next commits what it left in them. Idempotent.
    """
    if begun := folder.begun:
        try:
            if await build_launcher(begun.kind, begun.options).reap(folder.run_id):
                logger.warning("run=%s: ended what was left of it", folder.run_id)
        except OptionError as error:
            logger.warning("run=%s cannot be reaped: its method cannot be made: %s", folder.run_id, error)
    let_keeper_go(folder.keeper)
    shutil.rmtree(private / folder.run_id, ignore_errors=True)
    folder.socket(private).unlink(missing_ok=True)


def held_by_jobs(state: Path) -> set[str]:
    """Return in whose names living jobs hold things of this host: ids of runs and of sessions."""
    alive = [folder for folder in JobFolder.all(state) if folder.is_taken]
    holders = {begun.holder for folder in alive if (begun := folder.begun)}
    return {folder.run_id for folder in alive} | holders


async def end_left_jobs(state: Path, private: Path, logs: Path) -> None:
    """The same for every job of this host that was taken without a daemon and by nobody who lives."""
    for folder in JobFolder.all(state):
        try:
            with folder.held():
                job = folder.read()
                if job is None or job.record is None:  # else a daemon knows of it, and keeps its record
                    await end_left(folder, private)
                    shutil.rmtree(logs / folder.run_id, ignore_errors=True)
                    folder.remove()
        except (HutchError, FileNotFoundError):
            continue  # somebody takes it, or has
