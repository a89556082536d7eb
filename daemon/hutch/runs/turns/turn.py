"""One turn of an agent as the work of a run: its command, its events, its conversation in the volume."""

import logging
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from anyio import to_thread

from hutch.agents import (
    GIVEN,
    Agent,
    AgentTurn,
    Outcome,
    Reading,
    Retrying,
    SessionNamed,
    StoredSession,
    Usage,
    doing,
    find_session,
    give,
    is_session_id,
    lay_state,
    write_session,
)
from hutch.agents.results import check_schema
from hutch.destinations import NotADestinationError, read_destination
from hutch.egress import Missing, Rule, judge
from hutch.errors import HutchError
from hutch.policy import Plan
from hutch.runs.path.folders import Folders
from hutch.runs.path.live import LiveRun
from hutch.runs.path.path import Start
from hutch.runs.path.private import PrivateFolder
from hutch.runs.planning.credentials import keyless
from hutch.runs.rooms import PathRooms
from hutch.runs.turns.judging import judged
from hutch.runs.turns.patience import Patience
from hutch.runs.turns.references import References
from hutch.state import Session, Tokens
from hutch.supervisor import Ended, Stream
from hutch_launchers.launcher import AgentLauncher
from hutch_launchers.spec import Mount
from hutch_mcp_tools.session_records import SessionStatus

logger = logging.getLogger(__name__)

# To an agent whose model failed in the middle: what it was asked is the last that its conversation holds
GO_ON = "The model's service failed while you were at work. Go on where you were."
_TOLD_REFUSALS = 5
_MOST_TOKENS = 1 << 48  # an agent says what it likes, and a database adds it up in 64 bits
_STDERR_TAIL = 8 * 1024  # bytes shown to the adapter when no event says why


@dataclass(slots=True)
class AgentWork:
    """A turn of the agent of `session`, whose volume is the first of `plan`."""

    agent: Agent
    turn: AgentTurn
    session: Session
    plan: Plan
    live: LiveRun
    rooms: PathRooms
    may_resume: bool
    passed_env: dict[str, str] = field(repr=False)  # the owner's explicit exception: values that go inside
    references: References = field(default_factory=References)  # of the turn, to secrets
    _reading: Reading | None = None
    _folder: Path = Path()
    _patience: Patience = field(init=False)
    _outcome: Outcome | None = None
    _goes_on: bool = False
    _unnamed: str = ""  # why its conversation could not be written down

    def __post_init__(self) -> None:
        self._patience = Patience(self.agent.name, self.live.stop, self.live.standstill)

    def go_on(self) -> None:
        """Follow an earlier run of the same turn: what was asked may stand in the conversation already."""
        self.may_resume = self._goes_on = True

    async def start(self, folders: Folders, private: PrivateFolder) -> Start:
        self._folder = folder = folders.paths[self.plan.volumes[0].key]
        self.turn = await to_thread.run_sync(self._settled, folder)
        if self.turn.output_schema is not None:
            await to_thread.run_sync(check_schema, self.turn.output_schema)
        command = self.agent.command(self.turn)
        self._refuse_missing(command.hosts)
        self._refuse_keyless(folder)
        given = private.make_given()
        await to_thread.run_sync(give, given, command.given)
        await to_thread.run_sync(lay_state, folder, command.state)
        if self.turn.session_id:  # before the start: a turn that is killed at once can still be found again
            await to_thread.run_sync(self._name_session, self.turn.session_id)
        self._reading = await to_thread.run_sync(self.agent.reading, self.turn, folder)
        self._patience.reading = self._reading
        self.live.stop.interrupts = True
        base = self.plan.command
        return Start(
            command=replace(base, argv=command.argv, env={**base.env, **command.env, **self.passed_env}),
            stdin=command.stdin,
            sink=self._sink,
            agent=self.agent.name,
            mounts=(*(Mount(b.source, b.target) for b in command.bindings), Mount(given, GIVEN)),
            fill=self.references.filling(given, command.given, command.env),
        )

    async def finish(self, folders: Folders, ended: Ended) -> dict[str, Any]:
        assert self._reading is not None
        stderr = self.live.log.tail("stderr", _STDERR_TAIL)
        outcome = self._reading.finish(exit_code=ended.exit.code, stderr=stderr.decode("utf-8", "replace"))
        self._outcome = outcome = await judged(outcome, self.turn.output_schema)
        await self._name_at_end(outcome)
        told = {"ending": str(outcome.ending), "api_status": outcome.api_status}
        values: dict[str, Any] = {
            "tokens": _tokens(outcome.usage),
            "result": outcome.result,
            "turn": {**self.live.record.turn, **told},
        }
        if outcome.error and ended.outcome == "exited":
            values["reason"] = f"{outcome.ending}: {outcome.error}{self._refused()}"
        elif ended.outcome in ("cancelled", "timed_out"):
            values["reason"] = f"{ended.reason}; {await to_thread.run_sync(self._left)}"
        elif self._unnamed:
            values["reason"] = self._unnamed
        return values

    async def _name_at_end(self, outcome: Outcome) -> None:
        """Write down which conversation it was; where that cannot be, its work is committed all the same."""
        if (session_id := outcome.session_id) and is_session_id(session_id):
            self.turn = replace(self.turn, session_id=session_id)
            try:
                await to_thread.run_sync(self._name_session, session_id)
            except HutchError as error:
                self._unnamed = f"{error.code}: {error.message}; {error.hint}"

    def _refused(self) -> str:
        """Say what it did not reach; it may have tried any number of names."""
        refused = list(self.live.refused.items())
        told = [f"; {where} was refused: {why}" for where, why in refused[:_TOLD_REFUSALS]]
        more = len(refused) - len(told)
        return "".join(told) + (f"; and {more} more" if more else "")

    def _left(self) -> str:
        """Say what became of a turn that was ended from outside."""
        if self._outcome and self._outcome.ok:
            return "its turn was done"
        try:
            stored = find_session(self._folder, self.agent)
        except HutchError as error:
            return f"interrupted; {error.message}"
        if stored is None:
            return "interrupted before its conversation began"
        return "interrupted; its next prompt resumes the conversation"

    async def settle(self) -> None:
        await self.rooms.state.put_session(
            replace(
                self.session,
                status=self._status(),
                updated_at=time.time(),
                agent_session_id=self.turn.session_id or self.session.agent_session_id,
                result=self._outcome and self._outcome.result,
                last_message=(self._outcome and self._outcome.text) or self.session.last_message,
                error=self._error(),
            )
        )

    @property
    def _is_well(self) -> bool:
        return self._outcome is not None and self._outcome.ok and not self._unnamed

    def _status(self) -> SessionStatus:
        return "idle" if self.live.record.status == "cancelled" or self._is_well else "failed"

    def _error(self) -> str | None:
        if self._is_well:
            return None
        return self.live.record.reason or (self._outcome and self._outcome.error) or None

    async def watch(self) -> None:
        """Run beside the turn, until it is cancelled: an agent that is stuck is ended."""
        await self._patience.watch()

    def _name_session(self, session_id: str) -> None:
        write_session(self._folder, StoredSession(self.agent.name, session_id))

    def _refuse_missing(self, hosts: tuple[str, ...]) -> None:
        network = self.plan.network
        for where in hosts:
            try:
                judged: Rule | Missing | None = judge(network, *read_destination(where))
            except NotADestinationError:
                judged = None
            if not isinstance(judged, Rule):
                raise HutchError(
                    "network_denied",
                    f"{self.agent.name} needs {where}; this run's network grants "
                    + (", ".join(sorted(map(str, network.allow))) or "nothing"),
                    f"the daemon's owner sets agents.{self.session.agent}.network to one that allows it",
                )

    def _refuse_keyless(self, folder: Path) -> None:
        """Refuse what would end in the agent's own advice to log in, which nobody in a sandbox can follow."""
        launched = isinstance(self.rooms.launchers[self.plan.method], AgentLauncher)
        name = self.session.agent or ""
        refusal = keyless(self.rooms.config, name, self.agent, has_egress=not launched)
        if refusal and not self.agent.has_login(folder):
            raise refusal

    def _settled(self, folder: Path) -> AgentTurn:
        stored = find_session(folder, self.agent) if self.may_resume else None
        session_id = stored.session_id if stored else self.agent.new_session_id()
        prompt = GO_ON if self._goes_on and stored else self.turn.prompt
        return replace(self.turn, prompt=prompt, session_id=session_id, resumes=stored is not None)

    def _sink(self, stream: Stream, data: bytes) -> None:
        assert self._reading is not None
        self.live.sink(stream, data)
        does = None  # at the end of this piece of output: what lies between, nobody could read
        for event in self._reading.feed(data) if stream == "stdout" else ():
            self._patience.heard(event)
            if not (isinstance(event, Retrying) and self.live.refused):  # which says why it has to
                does = doing(event) or does
            if isinstance(event, SessionNamed):
                self._take_name(event.session_id)
        if does:
            self.live.does(does)

    def _take_name(self, session_id: str) -> None:
        """Write down at once what the agent calls a new conversation: a kill may come at any time."""
        if not self.turn.session_id and is_session_id(session_id):
            self.turn = replace(self.turn, session_id=session_id)
            try:
                self._name_session(session_id)
            except HutchError as error:  # it is tried again at the end, and told then
                logger.warning("run=%s its session could not be named: %s", self.live.id, error.message)


def _tokens(usage: Usage) -> Tokens:
    return Tokens(
        min(usage.input_tokens, _MOST_TOKENS),
        min(usage.output_tokens, _MOST_TOKENS),
        min(usage.cache_read_tokens, _MOST_TOKENS),
        min(usage.cache_write_tokens, _MOST_TOKENS),
        usage.cost_usd,
    )
