"""Attempts of a group whose work was done by plain commands, since no agent is needed to keep one."""

import time

from hutch.client import Client
from hutch.config import OWNER
from hutch.state import Attempt, Group, Session
from hutch.state.store import open_state
from support.daemon import Daemon, run

BASE = "mkdir -p /data/src; for n in $(seq 100); do echo $n > /data/src/$n; done; echo 0 > /data/who"
# A hundred files changed, one gone, one new
WORK = "for n in $(seq 2 100); do echo {who} >> /data/src/$n; done; rm /data/src/1; echo {who} > /data/who"


async def begin(client: Client) -> int:
    """Write the volume `web`, and return its snapshot."""
    await run(client, BASE, volumes=["web:/data"])
    return (await client.volume_stat("web")).volume.snapshot


async def attempted(made: Daemon, client: Client, group: str, count: int) -> list[str]:
    """A group of attempts from the newest snapshot of `web`; returns their sessions."""
    snapshot = (await client.volume_stat("web")).volume.snapshot
    sessions = []
    async with open_state(made.config.daemon.state / "state.db") as state:
        now = time.time()
        await state.put_group(Group(group, OWNER, "claude", "Mend it.", "web", snapshot, None, now))
        for number in range(1, count + 1):
            volume, session = f"web-{group[2:]}-{number}", f"s-{group[2:]}{number}"
            await client.fork_volume("web", volume, str(snapshot))
            await run(client, WORK.format(who=session), volumes=[f"{volume}:/data"])
            await state.put_session(
                Session(session, "agent", "idle", "none", now, now, agent="claude", volume=f"{volume}:/data")
            )
            await state.put_attempt(Attempt(group, number, volume, session))
            sessions.append(session)
    return sessions
