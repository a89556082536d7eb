"""Sessions that are a kept sandbox: opened, given commands, ended."""

import time
from contextlib import suppress
from dataclasses import replace
from functools import partial

import anyio

from hutch.budgets import Purse
from hutch.errors import HutchError
from hutch.mounts import refuse_ungranted
from hutch.policy import Wish, command_for, read_limits, shown
from hutch.runs.commands.kept import Kept
from hutch.runs.path.ending import until_stored
from hutch.runs.path.live import LiveRun
from hutch.runs.path.path import OneCommand
from hutch.runs.planning.planning import plan_for
from hutch.runs.planning.time_left import time_left
from hutch.runs.rooms import new_id
from hutch.runs.runs import Runs
from hutch.state import Session
from hutch_launchers.spec import Limits


class KeptSessions:
    """Every kept sandbox of this daemon. Methods raise HutchError."""

    def __init__(self, runs: Runs) -> None:
        self._runs = runs
        self._rooms = runs.rooms
        self._kept: dict[str, Kept] = {}

    async def open(self, wish: Wish, principal: str) -> Session:
        """Open a kept sandbox of `principal`'s and return when it takes commands."""
        config, now = self._rooms.config, time.time()
        plan = await plan_for(self._rooms, replace(wish, command=None), principal)
        session = Session(
            id=new_id("s"),
            kind="sandbox",
            status="running",
            method=plan.method,
            created_at=now,
            updated_at=now,
            principal=principal,
        )
        kept = self._kept[session.id] = Kept(session.id, principal, plan, config.policy.kept_idle_s)
        await self._rooms.state.put_session(session)
        self._runs.tasks.start_soon(self._keep, session, kept)
        await kept.ready.wait()
        if kept.error:
            raise kept.error
        return session

    async def run_in(self, session: Session, wish: Wish, stdin: bytes) -> LiveRun:
        """Start one more command in a kept sandbox; refused when its volumes may not be mounted any more."""
        kept = self._kept.get(session.id)
        if kept is None:
            raise HutchError(
                "session_ended",
                f"session {session.id} takes no commands: it is {_described(session)}",
                "open a kept sandbox with session_id=new",
            )
        _refuse_fixed(wish)
        rights = await self._rooms.access.rights(session.principal)
        refuse_ungranted(kept.plan.volumes, self._rooms.config, rights)
        limits, time_budget = await time_left(
            self._rooms,
            read_limits(wish, *kept.plan.bounds),
            kept.plan.budgets,
            session.principal,
            session.id,
        )
        command = command_for(wish, kept.plan, self._rooms.shell)
        live = await self._runs.admit(kept.plan, shown(wish.command), session.principal, session.id)
        live.time_budget = time_budget
        work = OneCommand(live, kept.plan, command, stdin)
        self._runs.tasks.start_soon(self._follow, session, kept, live, work, limits)
        return live

    def at_work(self, session_id: str | None) -> Kept | None:
        """Return the kept sandbox of a session, if it stands."""
        kept = self._kept.get(session_id or "")
        return kept if kept and kept.sandbox is not None else None

    def is_suspended(self, session_id: str) -> bool:
        """Whether a kept sandbox is held still."""
        kept = self._kept.get(session_id)
        return kept is not None and kept.standstill.holds

    def purse_of(self, session_id: str) -> Purse | None:
        """Return what a kept sandbox spends from, where something of its network is metered."""
        kept = self._kept.get(session_id)
        return kept.purse if kept else None

    async def suspend(self, session: Session, *, suspended: bool) -> None:
        """Hold a kept sandbox still, or let it go on. Raises `session_ended`, `suspend_unsupported`."""
        kept = self._kept.get(session.id)
        if kept is None:
            raise HutchError(
                "session_ended", f"session {session.id} is {_described(session)}", _going_on(session)
            )
        await kept.suspend(self._rooms, suspended=suspended)

    async def stop(self, session_id: str, reason: str) -> None:
        """End a kept sandbox and return when it is gone; one that is gone already is no error."""
        if kept := self._kept.get(session_id):
            kept.stop(reason)
            await kept.ended.wait()

    async def close(self) -> None:
        """End all of them."""
        async with anyio.create_task_group() as group:
            for session_id in list(self._kept):
                group.start_soon(self.stop, session_id, "the daemon is shutting down")

    async def _follow(
        self, session: Session, kept: Kept, live: LiveRun, work: OneCommand, limits: Limits
    ) -> None:
        try:
            await kept.run(self._rooms, live, work, limits)
            await until_stored(self._rooms.state, live)
        finally:
            self._runs.discharge(live)
        if session.id in self._kept:  # after its end nobody says that it runs
            with suppress(HutchError):  # for want of disk: it is only the order of a list
                await self._rooms.state.put_session(replace(session, updated_at=time.time()))

    async def _keep(self, session: Session, kept: Kept) -> None:
        announce = partial(self._announce_end, session, kept)
        try:
            await kept.keep(self._rooms, announce)
        finally:
            with anyio.CancelScope(shield=True):
                await announce()

    async def _announce_end(self, session: Session, kept: Kept) -> None:
        """Write down that it has ended and tell everybody. Idempotent."""
        if self._kept.pop(session.id, None) is None:
            return
        await self._rooms.state.put_session(
            replace(
                session,
                status="failed" if kept.error else "ended",
                updated_at=time.time(),
                error=kept.error.message if kept.error else kept.reason,
            )
        )
        kept.ended.set()


def _refuse_fixed(wish: Wish) -> None:
    """Refuse what cannot change in a sandbox that stands already."""
    fixed = {
        "volumes": wish.volumes,
        "workspace": wish.workspace,
        "method": wish.method,
        "image": wish.image,
        "tier": wish.tier,
        "network": wish.network,
        "secrets": wish.secrets,
        "budget_usd": wish.budget_usd,
        "budget_tokens": wish.budget_tokens,
        "budget_requests": wish.budget_requests,
        "memory_bytes": wish.memory_bytes,
        "cpus": wish.cpus,
        "pids": wish.pids,
        "disk_bytes": wish.disk_bytes,
        "open_files": wish.open_files,
    }
    for name, value in fixed.items():
        if value:
            raise HutchError(
                "session_invalid",
                f"{name} cannot be chosen for a command in a kept sandbox",
                "it was settled when the session was opened; open another with session_id=new",
            )


def _going_on(session: Session) -> str:
    if session.kind == "agent":
        return f"hutch agent {session.agent} --session {session.id} '…'"
    return "see: hutch sessions"


def _described(session: Session) -> str:
    if session.kind == "agent":
        return "an agent that is not at work; give it a prompt instead"
    return f"{session.status}{f' ({session.error})' if session.error else ''}"
