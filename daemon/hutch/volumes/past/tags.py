"""Tags: names that people give to snapshots, which are kept for as long as they have one."""

import re
from collections.abc import Mapping
from datetime import datetime

from hutch.errors import HutchError
from hutch.volumes.clock import Clock
from hutch.volumes.failures import ConflictError, DamagedError, NotFoundError
from hutch.volumes.log.history import History, no_snapshot
from hutch.volumes.log.lines import opened_line, sealed_line
from hutch.volumes.names import Identity
from hutch.volumes.past.keeping import Keeping
from hutch.volumes.records import Tag
from hutch.volumes.stores.protocol import ObjectStore

_LABEL = re.compile(r"[A-Za-z]([A-Za-z0-9._-]{0,98}[A-Za-z0-9])?")  # never a number, a time or an age
_PREFIX = "tags/"


def is_label(text: str) -> bool:
    """Whether a tag may be called so."""
    return _LABEL.fullmatch(text) is not None


def check_label(label: str) -> None:
    """Raises HutchError `tag_invalid`."""
    if not is_label(label):
        raise HutchError(
            "tag_invalid",
            f"not a tag: {label[:80]!r}",
            "use up to 100 letters, digits, '.', '_' or '-', a letter first and no sign last",
        )


class Tags:
    """The tags of all volumes of one store."""

    def __init__(self, store: ObjectStore, history: History, keeping: Keeping, clock: Clock) -> None:
        self._store = store
        self._history = history
        self._keeping = keeping
        self._clock = clock

    async def put(self, volume: Identity, label: str, number: int) -> Tag:
        """Name a snapshot. Raises HutchError `tag_invalid`, `tag_exists`, `snapshot_unknown`."""
        check_label(label)
        tag = Tag(label, number, self._clock.now())
        fields = {"volume": volume.id, "number": number, "created_at": tag.created_at.isoformat()}
        key = volume.key(_PREFIX + label)
        try:
            await self._store.put(key, sealed_line(fields), if_match="absent")
        except ConflictError:
            standing = await self._read(volume, label)
            if standing.number == number:
                return standing
            raise HutchError(
                "tag_exists",
                f"tag '{label}' of volume '{volume.name}' names snapshot {standing.number}",
                f"remove it first: hutch volume untag {volume.name} {label}",
            ) from None
        try:
            await self._prove(volume, number)
        except HutchError as error:
            if error.code == "snapshot_unknown":
                await self._store.delete(key)
            raise
        return tag

    async def _prove(self, volume: Identity, number: int) -> None:
        """Invariant 18: after the tag was put, see that it came in time."""
        await self._keeping.prove(volume, number)
        try:
            await self._history.header(volume, number)
        except NotFoundError:
            raise no_snapshot(volume, number) from None

    async def delete(self, volume: Identity, label: str) -> None:
        """Take a name away. Raises HutchError `tag_unknown`."""
        check_label(label)
        await self.find(volume, label)
        await self._store.delete(volume.key(_PREFIX + label))

    async def find(self, volume: Identity, label: str) -> Tag:
        """Raises HutchError `tag_unknown`, which names those there are."""
        try:
            return await self._read(volume, label)
        except NotFoundError:
            labels = ", ".join(tag.label for tag in await self.all(volume)) or "none"
            raise HutchError(
                "tag_unknown",
                f"volume '{volume.name}' has no tag '{label}'",
                f"its tags: {labels}; a time is written 2026-11-20T10:00, an age 2h, a run by its whole id",
            ) from None

    async def all(self, volume: Identity) -> tuple[Tag, ...]:
        """By label. Raises DamagedError."""
        prefix = volume.key(_PREFIX)
        labels = [info.key.removeprefix(prefix) async for info in self._store.list(prefix)]
        found = []
        for label in labels:
            try:
                found.append(await self._read(volume, label))
            except NotFoundError:  # taken away since
                continue
        return tuple(found)

    async def by_number(self, volume: Identity) -> Mapping[int, tuple[str, ...]]:
        """The labels of each snapshot that has one."""
        labels: dict[int, tuple[str, ...]] = {}
        for tag in await self.all(volume):
            labels[tag.number] = (*labels.get(tag.number, ()), tag.label)
        return labels

    async def _read(self, volume: Identity, label: str) -> Tag:
        data, _ = await self._store.get(volume.key(_PREFIX + label))
        where = f"tag '{label}' of volume '{volume.name}'"
        fields = opened_line(data, where)
        try:
            if fields["volume"] != volume.id:
                raise DamagedError(where, "it is of another volume")
            return Tag(label, fields["number"], datetime.fromisoformat(fields["created_at"]))
        except (ValueError, TypeError, KeyError) as error:
            raise DamagedError(where, "it cannot be read") from error
