"""All runs of this daemon: starts them as tasks that no caller's going away can end, finds, stops them."""

import time
from collections import Counter
from collections.abc import Callable

import anyio
from anyio.abc import TaskGroup

from hutch.config import OWNER
from hutch.errors import HutchError
from hutch.policy import Plan
from hutch.runs.lookup import ids_of
from hutch.runs.path.live import LiveRun
from hutch.runs.path.log import RunLog
from hutch.runs.path.path import Work, take
from hutch.runs.path.suspending import hold, keep_deadline, refuse_idle
from hutch.runs.rooms import Rooms, new_id
from hutch.state import Run

_STOP_SLACK_S = 10.0  # beyond the grace: to kill, to commit, to store


class Runs:
    """Owned by the composition root, which also owns the task group that every run lives in."""

    def __init__(self, rooms: Rooms, tasks: TaskGroup) -> None:
        self.rooms = rooms
        self.tasks = tasks
        self._live: dict[str, LiveRun] = {}
        self.closing = anyio.Event()
        self.on_room: Callable[[], None] = lambda: None  # called when a run has ended

    @property
    def is_closing(self) -> bool:
        return self.closing.is_set()

    async def admit(self, plan: Plan, command: str, principal: str, session_id: str | None = None) -> LiveRun:
        """Write down a new run of `principal`'s before anything of it exists on the host.

        Raises:
            HutchError: `busy` at the bound of concurrent runs, `closing`, `state_failed`.
        """
        self.refuse_closing()
        if full := self._full(principal):
            raise HutchError("busy", full, "wait for one to end; see: hutch ps")
        record = first_record(new_id("r"), plan, command, principal, session_id)
        return await self.begin(self.enlist(record), plan)

    def enlist(self, record: Run) -> LiveRun:
        """Have a run at hand whose sandbox does not begin yet; its record is the caller's to store."""
        log = RunLog(self.rooms.logs / record.id, self.rooms.config.daemon.log_max_bytes)
        live = self._live[record.id] = LiveRun(record, log)
        return live

    async def begin(self, live: LiveRun, plan: Plan) -> LiveRun:
        """Write down that a run begins, before anything of it exists on the host. Raises `state_failed`."""
        now, policy = time.time(), {"requested": dict(plan.requested)}
        live.change(
            status="starting", method=plan.method, volumes=_volumes(plan), created_at=now, policy=policy
        )
        live.output_bytes, live.time_budget, live.place = plan.limits.output_bytes, plan.time_budget, None
        try:
            await self.rooms.state.put_run(live.record)
        except BaseException:
            self.discharge(live)
            raise
        return live

    def has_room(self, principal: str) -> bool:
        """Whether one more turn of an agent of `principal`'s may begin."""
        is_full = self.turns_at_work().total() >= self.rooms.config.policy.max_concurrent_turns
        return not (self.is_closing or is_full or self._full(principal))

    def turns_at_work(self) -> Counter[str]:
        """Count the turns of agents, by their principals."""
        return Counter(live.record.principal for live in self._begun() if live.record.turn)

    def refuse_closing(self) -> None:
        """Raise HutchError `closing` once the daemon ends."""
        if self.is_closing:
            raise HutchError("closing", "the daemon is shutting down", "try again when it is back")

    def _full(self, principal: str) -> str:
        """Say which bound of runs is met; empty: none."""
        config, begun = self.rooms.config, self._begun()
        if len(begun) >= config.policy.max_concurrent_runs:
            return f"{len(begun)} runs are at work already"
        own = config.principals[principal].max_concurrent_runs if principal in config.principals else 0
        count = sum(live.record.principal == principal for live in begun)
        return f"{count} runs of {principal!r} are at work already" if own and count >= own else ""

    def _begun(self) -> list[LiveRun]:
        return [live for live in self._live.values() if live.record.status != "queued"]

    async def follow(self, live: LiveRun, plan: Plan, work: Work) -> None:
        """Take an admitted run along its path, here and now."""
        try:
            await take(self.rooms, live, plan, work)
        finally:
            self.discharge(live)

    def discharge(self, live: LiveRun) -> None:
        """Forget a run that has ended; its record and log stay."""
        self._live.pop(live.id, None)
        live.log.close()
        live.announce_end()  # also when its task was cancelled: nobody may wait for ever
        self.on_room()

    def at_work(self, principal: str) -> list[Run]:
        """Return what has not ended of the runs that a principal may know of, newest first."""
        views = (live.view() for live in self._live.values())
        known = [run for run in views if principal in (OWNER, run.principal)]
        return sorted(known, key=lambda run: -run.created_at)

    def all_live(self) -> list[LiveRun]:
        """Return what has not ended, those in the queue too."""
        return list(self._live.values())

    def live(self, run_id: str) -> LiveRun | None:
        return self._live.get(run_id)

    async def find(self, run_id: str, principal: str) -> Run:
        """Return the record, as it stands, of a run that a principal may know of; a unique prefix will do.

        Raises:
            HutchError: `run_unknown`, `state_failed`.
        """
        ids = await ids_of(self.rooms.state, "runs", run_id, principal)
        if len(ids) > 1 and run_id not in ids:
            raise HutchError("run_unknown", f"several runs begin with {run_id!r}", "give more of the id")
        found = self._live.get(ids[0]) if ids else None
        record = found.view() if found else await self.rooms.state.run(ids[0]) if ids else None
        if record is None:
            raise HutchError("run_unknown", f"no run is called {run_id!r}", "see: hutch ps --all")
        return record

    async def suspend(self, run: Run, *, suspended: bool) -> None:
        """Hold a run still, or let it go on. Raises HutchError `run_ended`, `suspend_unsupported`."""
        found = self._live.get(run.id)
        if found is not None and found.remote is not None:
            await found.remote.suspend(suspended=suspended)
            return
        live = refuse_idle(found, run.id)
        if suspended:
            await hold(self.rooms, live)
        else:
            live.standstill.end()
            keep_deadline(self.rooms, live, run.method, run.id)

    async def stop(self, run_id: str, reason: str, grace_s: float | None = None) -> Run:
        """Ask a run to end, wait until it has, and return its record; one that has ended stays as it is.

        `grace_s` None: its own.
        """
        if live := self._live.get(run_id):
            grace_s = live.stop.grace_s if grace_s is None else grace_s
            live.stop.ask(reason, grace_s)
            with anyio.move_on_after(grace_s + _STOP_SLACK_S):
                await live.ended.wait()
            return live.record
        return await self.find(run_id, OWNER)

    async def close(self, grace_s: float) -> None:
        """Take no more runs, end those that live, and return when their volumes are committed."""
        self.closing.set()
        begun = [live for live in self._begun() if live.remote is None]
        for live in self._live.values():
            # For the next daemon; nobody can wait for it here
            if live.record.status == "queued" or live.remote:
                live.announce_end()
            else:
                live.stop.ask("the daemon is shutting down", grace_s)
        with anyio.move_on_after(grace_s + _STOP_SLACK_S):
            for live in begun:
                await live.ended.wait()


def first_record(run_id: str, plan: Plan, command: str, principal: str, session_id: str | None) -> Run:
    """Return the record of a run as it begins."""
    return Run(
        id=run_id,
        status="starting",
        command=command,
        method=plan.method,
        created_at=time.time(),
        session_id=session_id,
        volumes=_volumes(plan),
        principal=principal,
    )


def _volumes(plan: Plan) -> tuple[str, ...]:
    return tuple(f"{v.key}:{v.target}{'' if v.writable else ':ro'}" for v in plan.volumes)
