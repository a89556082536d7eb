"""What the configuration says of volumes, and the daemon's work on what grows between runs."""

import logging
import random
from dataclasses import asdict

import anyio

from hutch.config import Config
from hutch.errors import HutchError
from hutch.runs.rooms import Rooms
from hutch.runs.upkeep.logs import tend_logs
from hutch.volumes import Quotas, RetentionRules, VolumeQuota

logger = logging.getLogger(__name__)


def quotas_of(config: Config) -> Quotas:
    """Return how large volumes may grow; a pattern without a workspace is about the daemon's own."""
    rules, workspace = config.volumes, config.daemon.workspace
    patterns = {
        pattern if "/" in pattern else f"{workspace}/{pattern}": VolumeQuota(**bounds)
        for pattern, bounds in rules.quotas.items()
    }
    return Quotas(VolumeQuota(rules.max_bytes, rules.max_files, rules.max_history_bytes), patterns)


async def keep_house(rooms: Rooms) -> None:
    """Look after the volumes' history and the runs' logs, for as long as the daemon lives."""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(tend_logs, rooms)
        tasks.start_soon(_tend_history, rooms)


async def _tend_history(rooms: Rooms) -> None:
    """Look after it now and then; several daemons of one store do not meet in it."""
    rules, retention = rooms.config.volumes, rooms.config.retention
    while rules.housekeeping_s:
        await anyio.sleep(rules.housekeeping_s * random.uniform(0.5, 1.5))  # noqa: S311 - jitter
        try:
            done = await rooms.volumes.housekeep(
                rooms.config.daemon.workspace,
                RetentionRules(**asdict(retention)),
                grace_s=rules.removed_kept_s,
            )
        except HutchError as error:
            logger.warning("housekeeping: %s", error.message)
            continue
        logger.info(
            "housekeeping volumes=%d snapshots_dropped=%d bytes_freed=%d problems=%d",
            done.volumes,
            done.dropped,
            done.bytes,
            len(done.problems),
        )
