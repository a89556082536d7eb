"""Which snapshots are kept when history is thinned out. Pure."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime

from hutch.volumes.past.keeping import Kept

_DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class RetentionRules:
    """Everything younger than `keep_all_s` is kept.

    Of what is older: the last `keep_last`, and the newest of each hour, day, week and month, for as many of
    these as are told. The newest snapshot, and those with a tag or a fork, are always kept.
    """

    keep_all_s: float = _DAY_S
    keep_last: int = 10
    hourly: int = 48
    daily: int = 30
    weekly: int = 12
    monthly: int = 24


def chosen(snapshots: Iterable[Kept], rules: RetentionRules) -> set[int]:
    """The numbers that the rules keep of snapshots older than `keep_all_s`, given by number."""
    ended = _ended(list(snapshots))
    ended.reverse()
    numbers = {each.number for each in ended[: rules.keep_last]}
    for count, period in (
        (rules.hourly, _hour),
        (rules.daily, _day),
        (rules.weekly, _week),
        (rules.monthly, _month),
    ):
        numbers |= _newest_of_each(ended, count, period)
    return numbers


def _ended(snapshots: list[Kept]) -> list[Kept]:
    """Without those made while a run worked that a later one of the same run has made needless."""
    last = {each.run: each.number for each in snapshots}
    return [each for each in snapshots if not each.while_running or last[each.run] == each.number]


def _newest_of_each(ended: list[Kept], count: int, period: Callable[[datetime], object]) -> set[int]:
    """`ended` has the newest first."""
    found: dict[object, int] = {}
    for each in ended:
        key = period(each.created_at)
        if key not in found and len(found) < count:
            found[key] = each.number
    return set(found.values())


def _hour(at: datetime) -> object:
    return at.date(), at.hour


def _day(at: datetime) -> object:
    return at.date()


def _week(at: datetime) -> object:
    return at.isocalendar()[:2]


def _month(at: datetime) -> object:
    return at.year, at.month
