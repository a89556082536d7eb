"""Groups: one task attempted several times at once, and what became of each attempt."""

from dataclasses import astuple, dataclass, fields

from hutch.state.database import Database


@dataclass(frozen=True, slots=True)
class Group:
    """What its attempts have in common. Times are seconds since 1970 UTC."""

    id: str
    principal: str
    agent: str
    prompt: str  # for a person's eyes, shortened
    volume: str  # where they began, and where one of them may be kept
    snapshot: int
    workspace: str | None
    created_at: float
    budget_usd: float | None = None  # of all attempts together
    budget_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Attempt:
    """One of them: a session, in a fork of the group's volume."""

    group_id: str
    number: int
    volume: str  # its fork
    session_id: str | None = None  # None: its start is under way, or was cut off
    model: str | None = None
    variant: str | None = None  # what was added to the prompt
    keeping: str | None = None  # the volume that it is being kept as
    kept_as: str | None = None
    kept_snapshot: int | None = None


_PUT_GROUP = f"INSERT INTO groups VALUES ({', '.join('?' * len(fields(Group)))})"  # noqa: S608
_PUT_ATTEMPT = f"INSERT OR REPLACE INTO attempts VALUES ({', '.join('?' * len(fields(Attempt)))})"  # noqa: S608


class GroupRows(Database):
    """The part of the state that knows groups."""

    async def put_group(self, group: Group) -> None:
        """Insert it; but for its budget, a group does not change."""
        await self._execute(_PUT_GROUP, *astuple(group))

    async def bound_group(self, group: Group) -> None:
        """Store the budget of a group that is there."""
        await self._execute(
            "UPDATE groups SET budget_usd = ?, budget_tokens = ? WHERE id = ?",
            group.budget_usd,
            group.budget_tokens,
            group.id,
        )

    async def put_attempt(self, attempt: Attempt) -> None:
        """Insert or replace the whole row."""
        await self._execute(_PUT_ATTEMPT, *astuple(attempt))

    async def forget_group(self, group_id: str) -> None:
        """Forget it and its attempts; their sessions stay."""
        await self._execute("DELETE FROM groups WHERE id = ?", group_id)

    async def groups(self, limit: int, prefix: str = "", *, principal: str | None = None) -> list[Group]:
        """Return the newest first whose ids begin with `prefix`, of one principal or of all."""
        rows = await self._all(
            "SELECT * FROM groups WHERE substr(id, 1, length(?1)) = ?1 AND (?2 IS NULL OR principal = ?2)"
            " ORDER BY created_at DESC, id LIMIT ?3",
            prefix,
            principal,
            limit,
        )
        return [Group(*row) for row in rows]

    async def group(self, group_id: str) -> Group | None:
        rows = await self._all("SELECT * FROM groups WHERE id = ?", group_id)
        return Group(*rows[0]) if rows else None

    async def group_in(self, volume: str) -> Group | None:
        """Return the group of which an attempt works in this volume, if one does."""
        rows = await self._all(
            "SELECT * FROM groups WHERE id IN (SELECT group_id FROM attempts WHERE volume = ?)", volume
        )
        return Group(*rows[0]) if rows else None

    async def attempts(self, group_id: str) -> list[Attempt]:
        """Return those of a group, in their order."""
        rows = await self._all("SELECT * FROM attempts WHERE group_id = ? ORDER BY number", group_id)
        return [Attempt(*row) for row in rows]

    async def attempt(self, session_id: str) -> Attempt | None:
        """Return the attempt that a session is, if it is one."""
        rows = await self._all("SELECT * FROM attempts WHERE session_id = ?", session_id)
        return Attempt(*rows[0]) if rows else None

    async def attempts_being_kept(self) -> list[Attempt]:
        """Return those whose keeping was begun and has no end yet."""
        return [Attempt(*row) for row in await self._all("SELECT * FROM attempts WHERE keeping IS NOT NULL")]
