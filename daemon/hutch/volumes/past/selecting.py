"""Turns what people call a snapshot (a number, a tag, a time, an age) into its number."""

import re
from collections.abc import AsyncGenerator
from datetime import UTC, datetime, timedelta

from hutch.errors import HutchError
from hutch.volumes.clock import Clock
from hutch.volumes.failures import NotFoundError
from hutch.volumes.log.codec import Header
from hutch.volumes.log.history import History
from hutch.volumes.log.state import Hints
from hutch.volumes.names import Identity
from hutch.volumes.past.keeping import Keeping, KeepList, thinned_out
from hutch.volumes.past.markers import Markers
from hutch.volumes.past.tags import Tags, is_label
from hutch.volumes.records import At

_AGE = re.compile(r"(\d{1,9})([smhdw])")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def read_selector(text: str, now: datetime) -> int | str | datetime:
    """A number, a tag's label, or a point in time (without a zone: UTC). Raises HutchError `at_invalid`."""
    if text.isascii() and text.isdecimal() and len(text) <= 18:
        return int(text)
    if is_label(text):
        return text
    try:
        if age := _AGE.fullmatch(text):
            return now - timedelta(seconds=int(age[1]) * _UNITS[age[2]])
        at = datetime.fromisoformat(text)
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except (ValueError, OverflowError):
        raise HutchError(
            "at_invalid",
            f"not a snapshot: {text[:80]!r}",
            "give a number, a tag, a time such as 2026-11-20T10:00, or an age such as 2h or 3d",
        ) from None


class Selector:
    """Finds snapshots in logs."""

    def __init__(
        self, history: History, keeping: Keeping, tags: Tags, markers: Markers, clock: Clock
    ) -> None:
        self._history = history
        self._keeping = keeping
        self._tags = tags
        self._markers = markers
        self._clock = clock

    async def resolve(self, volume: Identity, hints: Hints, at: At) -> int | None:
        """The number; None: the newest. Whether a number exists is seen when it is read.

        Raises:
            HutchError: `at_invalid`, `tag_unknown`, `snapshot_unknown`.
        """
        wanted = read_selector(at, self._clock.now()) if isinstance(at, str) else at
        if isinstance(wanted, str):
            return (await self._tags.find(volume, wanted)).number
        if isinstance(wanted, datetime):
            return await self._at_time(volume, hints, wanted)
        return wanted

    async def unknown(self, volume: Identity, hints: Hints, number: int) -> HutchError:
        """What to say of a number that is no snapshot: what there is instead."""
        keep, _ = await self._keeping.read(volume)
        header = await self._history.newest_header(volume, hints)
        newest = header["number"] if header else 0
        if 0 < number <= newest and not keep.holds(number):
            return thinned_out(volume, number, keep.numbers)
        told = "nothing was committed yet"
        if newest:
            told = f"it has {keep.until + 1} to {newest}" if newest > keep.until else "it has"
            older = len(keep.kept)
            told += f", and {older} older" if older else ""
        return HutchError(
            "snapshot_unknown",
            f"volume '{volume.name}' has no snapshot {number}: {told}",
            f"see: hutch volume log {volume.name}",
        )

    async def assert_kept(self, volume: Identity, number: int) -> None:
        """Raises HutchError `snapshot_unknown`: it was let go. A tag or a fork may have come just in time."""
        keep, _ = await self._keeping.read(volume)
        if number < 1 or keep.holds(number):
            return
        if number in {tag.number for tag in await self._tags.all(volume)}:
            return
        if number not in {marker.number for marker in await self._markers.all(volume)}:
            raise thinned_out(volume, number, keep.numbers)

    async def headers(self, volume: Identity, hints: Hints) -> AsyncGenerator[Header]:
        """Of every entry that is kept, newest first."""
        header = await self._history.newest_header(volume, hints)
        if header is None:
            return
        yield header
        keep, _ = await self._keeping.read(volume)
        for number in await self._older(volume, keep, header["number"]):
            try:
                yield await self._history.header(volume, number)
            except NotFoundError:  # thinned out since
                continue

    async def _older(self, volume: Identity, keep: KeepList, newest: int) -> list[int]:
        numbers = set(range(keep.until + 1, newest)) | keep.numbers
        if keep.until:
            numbers |= {tag.number for tag in await self._tags.all(volume)}
        return sorted(numbers - {newest}, reverse=True)

    async def _at_time(self, volume: Identity, hints: Hints, wanted: datetime) -> int:
        """The newest snapshot that is not younger, by the clocks of those who committed."""
        newest = await self._history.newest_header(volume, hints)
        if newest is None:
            raise await self.unknown(volume, hints, 0)
        if _is_by(newest, wanted):
            return await before_fences(self._history, volume, newest)
        keep, _ = await self._keeping.read(volume)
        numbers = sorted(await self._older(volume, keep, newest["number"]))
        low, high = 0, len(numbers)  # all before `low` are by then, none from `high` on
        found: Header | None = None
        while low < high:
            middle = (low + high) // 2
            header = await self._history.header(volume, numbers[middle])
            if _is_by(header, wanted):
                low, found = middle + 1, header
            else:
                high = middle
        if found is None:
            first = await self._history.header(volume, numbers[0]) if numbers else newest
            oldest = datetime.fromisoformat(first["created_at"])
            raise HutchError(
                "snapshot_unknown",
                f"volume '{volume.name}' has no snapshot from before {wanted:%Y-%m-%d %H:%M:%SZ}",
                f"its oldest is {first['number']}, of {oldest:%Y-%m-%d %H:%M:%SZ}",
            )
        return await before_fences(self._history, volume, found)


async def before_fences(history: History, volume: Identity, header: Header) -> int:
    """A fence changed nothing: the commit before it is what people know."""
    number: int = header["number"]
    while header["kind"] == "fence" and number > 1:
        try:
            header = await history.header(volume, number - 1)
        except NotFoundError:
            break
        number -= 1
    return number


def _is_by(header: Header, wanted: datetime) -> bool:
    return datetime.fromisoformat(header["created_at"]) <= wanted
