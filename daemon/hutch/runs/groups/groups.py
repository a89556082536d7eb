"""Groups: one task attempted several times at once, each in a fork of one snapshot of a volume."""

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from decimal import Decimal
from functools import partial

import anyio

from hutch.access import Level
from hutch.budgets import GROUP, Limit, of_group
from hutch.budgets.accounts import Key
from hutch.config import OWNER
from hutch.errors import HutchError, unwrapped
from hutch.mounts import WORKSPACE, VolumeMount, read_mount, refuse_ungranted
from hutch.policy import shown
from hutch.runs.path.folders import refuse_fork
from hutch.runs.rooms import new_id
from hutch.runs.runs import Runs
from hutch.runs.turns.agent_sessions import AgentSessions
from hutch.state import Attempt, Group
from hutch.workspaces import Mode, read_workspace
from hutch_mcp_tools.agent_records import AgentRequest
from hutch_mcp_tools.group_records import Forks
from hutch_mcp_tools.usage_records import Budget

_UNDO_S = 30.0
_SHORT = 6  # characters of a group's id in its volumes' names


class Groups:
    """Every group of this daemon. Methods raise HutchError."""

    def __init__(self, runs: Runs, agents: AgentSessions) -> None:
        self._agents = agents
        self._runs = runs
        self._rooms = runs.rooms

    async def start(self, request: AgentRequest, forks: Forks, principal: str) -> Group:
        """Begin every attempt, or none: what was made for them is removed again where one is refused."""
        _refuse_unforkable(request, forks)
        group_id = new_id("g")
        mount = await self._mount(request, group_id, principal)
        attempts = [_attempt(group_id, mount, number, forks) for number in range(1, forks.count + 1)]
        await self._refuse_names(attempts, principal)
        made_base = await self._made_base(mount, group_id)
        try:
            group = await self._forked(request, mount, attempts, principal, forks)
            await self._begin(request, mount, attempts, principal)
        except BaseException:
            with anyio.move_on_after(_UNDO_S, shield=True):
                await self._undo(request.agent, mount, attempts, principal, made_base=made_base)
            raise
        return group

    async def find(self, text: str, principal: str) -> Group:
        """Return a group by its id or a unique beginning of it. Raises HutchError `group_unknown`."""
        seen = None if principal == OWNER else principal
        found = await self._rooms.state.groups(2, text, principal=seen) if text else []
        if len(found) > 1:
            raise HutchError("group_unknown", f"several groups begin with {text!r}", "give more of the id")
        if not found:
            raise HutchError("group_unknown", f"no group is called {text!r}", "see: hutch compare")
        return found[0]

    async def stop(self, group: Group) -> None:
        """End every turn that is at work, all at once; what was kept goes on by itself."""
        stop = partial(
            self._agents.turns.stop,
            reason="its group was stopped",
            grace_s=self._rooms.config.daemon.stop_grace_s,
        )
        async with anyio.create_task_group() as tasks:
            for attempt in await self._rooms.state.attempts(group.id):
                if attempt.session_id and not attempt.kept_as:
                    tasks.start_soon(stop, attempt.session_id)

    async def suspend(self, group: Group, *, suspended: bool) -> None:
        """Hold every turn still that is at work, or let those go on that are."""
        for attempt in await self._rooms.state.attempts(group.id):
            live = self._agents.turns.of(attempt.session_id or "")
            if live and live.started.is_set() and live.is_suspended != suspended:
                await self._runs.suspend(live.record, suspended=suspended)

    async def give(self, group: Group, budget: Budget) -> Group:
        """Let all attempts together spend so much more than they have. Raises HutchError `budget_fixed`."""
        had = of_group(group.id, group.budget_usd, group.budget_tokens)
        usd = None if budget.budget_usd is None else Decimal(str(budget.budget_usd))
        more = Limit(GROUP, "group", usd, budget.budget_tokens, budget.budget_requests)
        if any(new is not None and old is None for new, old in zip(_bounds(more), _bounds(had), strict=True)):
            raise HutchError(
                "budget_fixed",
                f"group {group.id} was not given such a budget, so it cannot be given more of it",
                "agent --forks takes --group-budget-usd and --group-budget-tokens; an attempt's own: "
                "hutch resume SESSION",
            )
        account = await self._rooms.accounts.account(Key("group", group.id))
        bound = had.more(account.spent, more)
        group = replace(
            group, budget_usd=None if bound.usd is None else float(bound.usd), budget_tokens=bound.tokens
        )
        await self._rooms.state.bound_group(group)
        for live in self._runs.all_live():
            if live.purse is not None:
                live.purse.bound_group(bound)
        return group

    async def wait(self, group: Group, wait_s: float) -> None:
        """Return when no turn of it is at work, or after `wait_s` seconds."""
        with anyio.move_on_after(wait_s):
            for attempt in await self._rooms.state.attempts(group.id):
                if attempt.session_id:
                    await self._agents.turns.wait(attempt.session_id, wait_s)

    async def _mount(self, request: AgentRequest, group_id: str, principal: str) -> VolumeMount:
        """Return the volume that all begin at, which the principal may write."""
        config = self._rooms.config
        name = request.volume or f"{request.agent}-{group_id.removeprefix('g-')}"
        mount = read_mount(name, request.args, config.daemon.workspace)
        if not mount.writable:
            raise HutchError("forks_invalid", "attempts write their volume", "leave out the :ro")
        refuse_ungranted([mount], config, await self._rooms.access.rights(principal))
        return mount

    async def _made_base(self, mount: VolumeMount, group_id: str) -> bool:
        """Make the volume where there is none, as a fork where that is asked for; whether it was made."""
        volumes, name = self._rooms.volumes, self._rooms.volume(mount.name)
        if mount.source:
            await refuse_fork(self._rooms, mount)
            await volumes.fork(self._rooms.volume(mount.source), name, at=mount.at)
            return True
        try:
            await volumes.info(name)
        except HutchError as error:
            if error.code != "volume_unknown":
                raise
            async with volumes.lease(name, group_id, create=True):
                return True
        return False

    async def _refuse_names(self, attempts: Sequence[Attempt], principal: str) -> None:
        rights = await self._rooms.access.rights(principal)
        for attempt in attempts:
            if rights.level(self._rooms.volume(attempt.volume)) < Level.WRITE:
                raise HutchError(
                    "volume_needed",
                    f"the attempts would work in volumes like '{attempt.volume}', which you may not make",
                    "name a volume with which the names of its forks are granted to you too",
                )

    async def _forked(
        self,
        request: AgentRequest,
        mount: VolumeMount,
        attempts: Sequence[Attempt],
        principal: str,
        forks: Forks,
    ) -> Group:
        """Write the group down, and make the forks of its attempts: none is left that nobody knows of."""
        base = self._rooms.volume(mount.name)
        group = Group(
            id=attempts[0].group_id,
            principal=principal,
            agent=request.agent,
            prompt=shown(request.prompt),
            volume=mount.name,
            snapshot=(await self._rooms.volumes.info(base)).snapshot,
            workspace=request.workspace,
            created_at=time.time(),
            budget_usd=forks.budget_usd,
            budget_tokens=forks.budget_tokens,
        )
        await self._rooms.state.put_group(group)
        with unwrapped():
            async with anyio.create_task_group() as tasks:
                for attempt in attempts:
                    await self._rooms.state.put_attempt(attempt)
                    to = self._rooms.volume(attempt.volume)
                    tasks.start_soon(partial(self._rooms.volumes.fork, base, to, at=group.snapshot))
        return group

    async def _begin(
        self, request: AgentRequest, mount: VolumeMount, attempts: Sequence[Attempt], principal: str
    ) -> None:
        """Start all of them at once. A refusal is raised when every start has come to its end."""
        refused: list[HutchError] = []

        async def begin(attempt: Attempt) -> None:
            try:
                session = await self._agents.start(_request(request, mount, attempt), principal)
            except HutchError as error:
                refused.append(error)
            else:
                await self._rooms.state.put_attempt(replace(attempt, session_id=session.id))

        with unwrapped():
            async with anyio.create_task_group() as tasks:
                for attempt in attempts:
                    tasks.start_soon(begin, attempt)
        if refused:
            raise refused[0]

    async def _undo(
        self, agent: str, mount: VolumeMount, attempts: Sequence[Attempt], principal: str, *, made_base: bool
    ) -> None:
        """Remove what a start that failed, or that nobody waited for, has made."""
        state = self._rooms.state
        for attempt in attempts:
            session = await state.newest_agent_session(_home(mount, attempt), agent, principal)
            if session:
                await self._agents.turns.stop(session.id, "its group did not begin", 0)
                await state.forget_session(session.id)
        made = [attempt.volume for attempt in attempts] + ([mount.name] if made_base else [])
        for name in made:
            with suppress(HutchError):  # it was not made yet; or it stays, and is no more than a name
                await self._rooms.volumes.remove(self._rooms.volume(name), holder=attempts[0].group_id)
        await state.forget_group(attempts[0].group_id)


def _bounds(limit: Limit) -> tuple[Decimal | int | None, ...]:
    return limit.usd, limit.tokens, limit.requests


def _refuse_unforkable(request: AgentRequest, forks: Forks) -> None:
    """Raise HutchError `forks_invalid` for what cannot be done several times at once."""
    if request.workspace and read_workspace(request.workspace).mode is Mode.RW:
        raise HutchError(
            "forks_invalid",
            "several attempts cannot write one folder of this machine at once",
            "have it as DIR:review, where each attempt's changes wait by themselves, or DIR:worktree",
        )
    for given, what in ((forks.models, "models"), (forks.variants, "variants")):
        if len(given) > forks.count:
            raise HutchError(
                "forks_invalid",
                f"{len(given)} {what} are more than {forks.count} attempts",
                "ask for as many attempts, or give fewer",
            )


def _attempt(group_id: str, mount: VolumeMount, number: int, forks: Forks) -> Attempt:
    return Attempt(
        group_id=group_id,
        number=number,
        volume=f"{mount.name}-{group_id.removeprefix('g-')[:_SHORT]}-{number}",
        model=forks.models[(number - 1) % len(forks.models)] if forks.models else None,
        variant=forks.variants[(number - 1) % len(forks.variants)] if forks.variants else None,
    )


def _home(mount: VolumeMount, attempt: Attempt) -> str:
    """The volume of an attempt, where it was to be."""
    return attempt.volume if mount.target == WORKSPACE else f"{attempt.volume}:{mount.target}"


def _request(request: AgentRequest, mount: VolumeMount, attempt: Attempt) -> AgentRequest:
    """What one attempt asks for: the same in its own volume, and what it varies."""
    changes: dict[str, object] = {"volume": _home(mount, attempt), "args": {}}
    if request.name:
        changes["name"] = f"{request.name}-{attempt.number}"
    if attempt.model:
        changes["model"] = attempt.model
    if attempt.variant:
        changes["prompt"] = f"{request.prompt}\n\n{attempt.variant}"
    return request.model_copy(update=changes)
