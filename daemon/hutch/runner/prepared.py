"""From a job to its run: the plan, the record as it begins, and the work."""

from dataclasses import asdict, dataclass, replace

from hutch.errors import HutchError
from hutch.jobs import Job, JobJournal
from hutch.policy import Plan, shown
from hutch.runner.telling import TellingRun
from hutch.runs.commands.tasks import task_of
from hutch.runs.path.log import RunLog
from hutch.runs.path.path import Work
from hutch.runs.planning.time_left import within_time
from hutch.runs.rooms import PathRooms
from hutch.runs.runs import first_record
from hutch.runs.turns.bundles import with_bundles
from hutch.runs.turns.turns import find_agent, new_session, plan_turn, with_volume, work_of
from hutch.supervisor import Stop


@dataclass(frozen=True, slots=True)
class Preparing:
    """What a job is prepared with."""

    rooms: PathRooms
    job: Job
    run_id: str
    journal: JobJournal
    stop: Stop
    door_token: str = ""  # by which its sandbox reaches the daemon; empty: it has no door

    async def run(self) -> tuple[TellingRun, Plan, Work]:
        """Decide what the job gets, and put its run together. Raises HutchError, as a daemon would refuse."""
        return await (self._turn() if self.job.agent is not None else self._command())

    async def _command(self) -> tuple[TellingRun, Plan, Work]:
        request = self.job.run
        assert request is not None
        task = await task_of(self.rooms, request, self.job.principal)
        plan = await self._bounded(task.plan, None)
        live = self._live(plan, task.command, None)
        return live, plan, task.work(live, plan)

    async def _turn(self) -> tuple[TellingRun, Plan, Work]:
        request = self.job.agent
        assert request is not None
        agent = find_agent(self.rooms, request.agent)
        if self.job.record is None:  # else the daemon has
            request = await with_bundles(self.rooms.config, request)
        if not self.stop.is_asked:
            self.stop.grace_s = self.rooms.config.agents[request.agent].stop_grace_s
        request, fork = await with_volume(self.rooms, request, self.job.principal)
        session = self.job.session or await new_session(self.rooms, request, self.job.principal)
        plan = await plan_turn(self.rooms, session, request, fork)
        if plan.children and not self.door_token:
            raise HutchError("job_invalid", f"run {self.run_id} has no door to the daemon", "ask again")
        plan = await self._bounded(plan, session.id)
        live = self._live(plan, f"{request.agent}: {shown(request.prompt)}", session.id)
        work = work_of(self.rooms, agent, session, request, plan, live)
        if self.job.goes_on:
            work.go_on()
        return live, plan, work

    async def _bounded(self, plan: Plan, session_id: str | None) -> Plan:
        given = self.job.granted
        if given is None:
            return await within_time(self.rooms, plan, self.job.principal, session_id)
        limits = replace(plan.limits, wall_s=min(given.wall_s, plan.limits.wall_s))
        granted = {**plan.granted, "limits": asdict(limits)}
        return replace(
            plan, limits=limits, granted=granted, budgets=given.budgets, time_budget=given.time_budget
        )

    def _live(self, plan: Plan, command: str, session_id: str | None) -> TellingRun:
        fresh = first_record(self.run_id, plan, command, self.job.principal, session_id)
        log = RunLog(self.rooms.logs / self.run_id, self.rooms.config.daemon.log_max_bytes)
        live = TellingRun(
            self.job.record or fresh, log, plan.limits.output_bytes, stop=self.stop, journal=self.journal
        )
        live.time_budget, live.door_token = plan.time_budget, self.door_token if plan.children else ""
        return live
