"""What becomes of the attempts of a group: one is kept as its volume's next state, the others discarded."""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import anyio
from anyio import to_thread

from hutch.access import Level
from hutch.errors import HutchError
from hutch.runs.lookup import find_session
from hutch.runs.rooms import Rooms
from hutch.runs.turns.agent_sessions import AgentSessions
from hutch.state import Attempt, Group, Session
from hutch.volumes import StoreError, VolumeName
from hutch_mcp_tools.group_records import CHECK

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Kept:
    """Where an attempt's work is now."""

    attempt: Attempt
    changes: int


@dataclass(slots=True)
class Keeping:
    """A keeping is noted, done in one entry of the volume, then told: cut off anywhere it can be ended."""

    rooms: Rooms
    agents: AgentSessions
    _one_at_a_time: anyio.Lock = field(default_factory=anyio.Lock)

    async def keep(self, text: str, to: str | None, principal: str) -> Kept:
        """Make an attempt's work the next state of the volume where it began, or a new volume `to`.

        Raises:
            HutchError: `not_an_attempt`, `session_busy`, `volume_moved_on`, `volume_exists`, and what leases
                and rights refuse.
        """
        async with self._one_at_a_time:
            session = await find_session(self.rooms.state, text, principal)
            attempt = await self._attempt(session.id)
            group = await self.rooms.state.group(attempt.group_id)
            assert group is not None
            target = self.rooms.access.spell(self.rooms.volume(to)) if to else group.volume
            rights = await self.rooms.access.rights(principal)
            rights.require(self.rooms.volume(target), Level.WRITE)
            rights.require(self.rooms.volume(attempt.volume), Level.READ)
            if attempt.kept_as == target:
                return Kept(attempt, 0)
            if attempt.kept_as:
                raise HutchError(
                    "not_an_attempt",
                    f"session {session.id} was kept already, as volume '{attempt.kept_as}'",
                    f"fork that: hutch volume fork {attempt.kept_as} NEW",
                )
            await self.agents.turns.settled(session.id)
            with self.agents.turns.held_idle(session.id):
                return await self._kept(group, attempt, session, target)

    async def recover(self) -> None:
        """Bring what a predecessor had begun to keep to its end."""
        for attempt in await self.rooms.state.attempts_being_kept():
            session = await self.rooms.state.session(attempt.session_id or "")
            group = await self.rooms.state.group(attempt.group_id)
            if session is None or group is None or attempt.keeping is None:
                continue
            try:
                async with self._one_at_a_time:
                    with self.agents.turns.held_idle(session.id):
                        await self._kept(group, attempt, session, attempt.keeping)
            except HutchError as error:
                logger.warning("session=%s is not kept: %s: %s", session.id, error.code, error.message)
            else:
                logger.warning("session=%s is kept as volume %s", session.id, attempt.keeping)

    async def discard(self, group: Group) -> tuple[list[str], dict[str, str]]:
        """Remove the forks of a group, but of those at work; return their names, and why others are left.

        What was kept is in another volume. The group is forgotten when nothing of it is left.
        """
        removed: list[str] = []
        left: dict[str, str] = {}
        async with self._one_at_a_time:
            names = [VolumeName.parse(each.name) for each in await self.rooms.volumes.list()]
            for attempt in await self.rooms.state.attempts(group.id):
                try:
                    removed += await self._removed(attempt, names)
                except HutchError as error:
                    left[attempt.volume] = error.message
            if not left:
                await self.rooms.state.forget_group(group.id)
        return removed, left

    async def _attempt(self, session_id: str) -> Attempt:
        attempt = await self.rooms.state.attempt(session_id)
        if attempt is None:
            raise HutchError(
                "not_an_attempt", f"session {session_id} is no attempt of a group", "see: hutch compare"
            )
        return attempt

    async def _kept(self, group: Group, attempt: Attempt, session: Session, target: str) -> Kept:
        """Note, do, tell. Only a store that is away leaves the note, for another try after a restart."""
        state = self.rooms.state
        await state.put_attempt(replace(attempt, keeping=target))
        try:
            number, changes = await self._done(group, attempt, session, target)
        except StoreError:
            raise
        except HutchError as error:
            await state.put_attempt(replace(attempt, keeping=None))
            if error.code != "volume_moved_on":
                raise
            hint = f"{error.hint}; or keep it as a volume of its own: hutch keep {session.id} --as NAME"
            raise HutchError(error.code, error.message, hint) from error
        _, colon, path = (session.volume or "").partition(":")
        home = f"{target}{colon}{path}"
        session = await state.session(session.id) or session  # nothing begins meanwhile; one may have ended
        await state.put_session(replace(session, volume=home, updated_at=time.time()))
        attempt = replace(attempt, keeping=None, kept_as=target, kept_snapshot=number)
        await state.put_attempt(attempt)
        return Kept(attempt, changes)

    async def _done(self, group: Group, attempt: Attempt, session: Session, target: str) -> tuple[int, int]:
        volumes, fork, to = self.rooms.volumes, self.rooms.volume(attempt.volume), self.rooms.volume(target)
        if target != group.volume:
            await self._forked(fork, to, is_retried=attempt.keeping == target)
            return (await volumes.info(to)).snapshot, 0
        by = f"keep {session.id} of {group.id}"
        made = await volumes.adopt(to, fork, run_id=by, holder=f"keep {session.id}")
        return (made.number, made.change_count) if made else ((await volumes.info(to)).snapshot, 0)

    async def _forked(self, fork: VolumeName, to: VolumeName, *, is_retried: bool) -> None:
        try:
            await self.rooms.volumes.fork(fork, to)
        except HutchError as error:
            if error.code != "volume_exists" or not is_retried:
                raise
            if (await self.rooms.volumes.stat(to)).parent != str(fork):  # else the first try made it
                raise

    async def _removed(self, attempt: Attempt, names: Sequence[VolumeName]) -> list[str]:
        """Remove the forks of one attempt; its session is forgotten, unless it goes on elsewhere."""
        if attempt.session_id is None or attempt.kept_as is not None:
            return await self._removed_forks(attempt, names)
        with self.agents.turns.held_idle(attempt.session_id):
            removed = await self._removed_forks(attempt, names)
            await self._forget(attempt.session_id)
        return removed

    async def _removed_forks(self, attempt: Attempt, names: Sequence[VolumeName]) -> list[str]:
        removed = []
        for name in _own(self.rooms.volume(attempt.volume), names):
            await self.rooms.volumes.remove(name, holder=f"discard {attempt.group_id}")
            await self.rooms.access.forget(name)
            removed.append(self.rooms.access.spell(name))
        return removed

    async def _forget(self, session_id: str) -> None:
        """Forget a session with what waits of its workspace; its runs and a branch that it made stay."""
        reviews, worktrees = self.rooms.reviews, self.rooms.worktrees
        with reviews.used(session_id):
            await to_thread.run_sync(reviews.discard, session_id)
        await to_thread.run_sync(worktrees.remove, session_id)
        await self.rooms.state.forget_session(session_id)


def _own(volume: VolumeName, names: Sequence[VolumeName]) -> list[VolumeName]:
    """The volume of an attempt, if it is still there, and those in which it was checked."""
    checks = f"{volume.full}{CHECK}"
    return [name for name in names if name == volume or name.full.startswith(checks)]
