"""How large a volume may grow: a bound on what its newest snapshot holds, judged where a commit is made."""

import re
from collections.abc import Mapping
from typing import Protocol

from hutch.volumes.failures import QuotaExceededError
from hutch.volumes.log.state import Patch, State
from hutch.volumes.names import VolumeName
from hutch.volumes.records import NO_QUOTA, VolumeQuota


class Bound(Protocol):
    """Judges whether a volume may take one more commit, before anything of it is put."""

    async def admit(self, state: State) -> None:
        """Raises QuotaExceededError."""
        ...


class Quotas:
    """What each volume may hold.

    `patterns` are of names with their workspace; "*" is any text without a slash. The most specific counts.
    """

    def __init__(
        self, default: VolumeQuota = NO_QUOTA, patterns: Mapping[str, VolumeQuota] | None = None
    ) -> None:
        self._default = default
        by_rank = sorted((patterns or {}).items(), key=lambda each: _rank(each[0]), reverse=True)
        self._patterns = [(_expression(pattern), quota) for pattern, quota in by_rank]

    def of(self, name: VolumeName) -> VolumeQuota:
        """A conflict fork has the bound of the volume whose work it keeps."""
        full = name.full.partition("@")[0]
        for expression, quota in self._patterns:
            if expression.fullmatch(full):
                return quota
        return self._default

    def refuse_more(self, name: VolumeName, files: int, size: int) -> None:
        """Raises QuotaExceededError for what alone is more than a volume may hold."""
        quota = self.of(name)
        for what, limit, wanted in (("bytes", quota.max_bytes, size), ("files", quota.max_files, files)):
            if limit and wanted > limit:
                raise QuotaExceededError(name, what, wanted, limit)

    def check(self, state: State, made: Patch) -> None:
        """Whether a commit may be made. One that is still too large but grows nothing is.

        So is the first of a conflict fork, which saves what was refused elsewhere.

        Raises:
            QuotaExceededError: nothing was put.
        """
        if state.name.is_conflict and not state.number:
            return
        quota = self.of(state.name)
        for what, limit, before, after in (
            ("bytes", quota.max_bytes, state.bytes, made.size),
            ("files", quota.max_files, state.files, made.files),
        ):
            if limit and after > limit and after > before:
                raise QuotaExceededError(state.name, what, after, limit)


def _rank(pattern: str) -> tuple[bool, int]:
    return "*" not in pattern, len(pattern.replace("*", ""))


def _expression(pattern: str) -> re.Pattern[str]:
    return re.compile("[^/]*".join(map(re.escape, pattern.split("*"))))
