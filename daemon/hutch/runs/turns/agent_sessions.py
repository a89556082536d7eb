"""Sessions that are an agent at work: its turns, one at a time, over any number of runs."""

import time
from dataclasses import replace

import anyio

from hutch.errors import HutchError
from hutch.mounts import VolumeMount
from hutch.runs.gate.clients import Clients
from hutch.runs.rooms import new_id
from hutch.runs.runners.runners import Runners
from hutch.runs.runs import Runs
from hutch.runs.turns.turns import new_session, with_volume
from hutch.runs.turns.turns_at_work import Turns
from hutch.state import Session, Turn
from hutch_mcp_tools.agent_records import AgentRequest, TurnBounds

_STARTS_WITHIN_S = 10.0  # after that a caller is told "running" while the sandbox is still being prepared
# What later turns repeat; bounds are of one turn
_STORED = (
    *("model", "method", "image", "tier", "network", "workspace", "secrets"),
    *("mcp_servers", "bundles", "hutch"),
)


class AgentSessions:
    """Every agent session of this daemon. Methods raise HutchError."""

    def __init__(self, runs: Runs, clients: Clients, runners: Runners | None = None) -> None:
        self._runs = runs
        self._rooms = runs.rooms
        self.turns = Turns(runs, clients, runners)

    async def start(self, request: AgentRequest, principal: str) -> Session:
        """Begin a session of `principal`'s, or go on with the one that this agent has in this volume."""
        known = None
        request, fork = await with_volume(self._rooms, request, principal)
        if request.volume and request.resume:
            known = await self._rooms.state.newest_agent_session(request.volume, request.agent, principal)
        session = known or await new_session(self._rooms, request, principal)
        said = request.model_dump(mode="json", include=set(_STORED))
        changes = {name: value for name, value in said.items() if value}
        session = replace(session, name=request.name or session.name, request={**session.request, **changes})
        try:
            return await self._turn(session, request, fork)
        except HutchError:
            if known is None:
                await self._forget_unused(session.id)
            raise

    async def send(self, session: Session, message: str, bounds: TurnBounds) -> Session:
        """Give an agent its next prompt."""
        if session.kind != "agent":
            raise HutchError(
                "session_invalid",
                f"session {session.id} is a kept sandbox, not an agent",
                f"run in it with: hutch run --session {session.id}",
            )
        said = {"agent": session.agent, "prompt": message, "volume": session.volume}
        request = AgentRequest.model_validate({**session.request, **bounds.model_dump(), **said})
        return await self._turn(session, request)

    async def ended(self, session_id: str) -> Session:
        """Note that nobody means to go on with this session; its volume and conversation stay."""
        session = await self._rooms.state.session(session_id)
        assert session is not None  # the caller has found it
        if session.status in ("running", "idle"):
            session = replace(session, status="ended", updated_at=time.time())
            await self._rooms.state.put_session(session)
        return session

    async def _forget_unused(self, session_id: str) -> None:
        """Leave nothing of a session whose first turn was refused."""
        await self.turns.settled(session_id)
        if self.turns.of(session_id) is None:
            await self._rooms.state.forget_session(session_id)

    async def _turn(
        self, session: Session, request: AgentRequest, fork: VolumeMount | None = None
    ) -> Session:
        turn = Turn(
            session_id=session.id,
            runs=(new_id("r"),),
            request=request.model_dump(mode="json", exclude_defaults=True),
            asked_at=time.time(),
            fork={"source": fork.source, "at": fork.at} if fork else None,
        )
        await self.turns.settled(session.id)  # who has just heard of an end is not told that it is at work
        live = await self.turns.begin(session, request, turn)
        if live.record.status != "queued":
            with anyio.move_on_after(_STARTS_WITHIN_S):
                await live.started.wait()
        if live.error is not None and live.record.duration_s is None:
            raise live.error
        return await self._rooms.state.session(session.id) or session
