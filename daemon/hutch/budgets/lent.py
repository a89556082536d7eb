"""Bytes that a run may pass of budgets that are counted in another process: it is lent some at a time."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import anyio

from hutch.budgets.accounts import Account
from hutch.budgets.limits import Limit
from hutch.budgets.records import Refused

_SHARE = 16  # of what is left, one part is lent at once
_UNBOUND = 1 << 62
_LEAST, _MOST = 16 << 10, 8 << 20  # bytes; asking for them takes a moment, and what is lent is nobody else's


def share_of(left: int) -> int:
    """Return how many bytes of those that are left are lent at once."""
    return min(max(left // _SHARE, _LEAST), _MOST, left)


def bytes_left(judged: Sequence[tuple[Limit, Account]]) -> tuple[int, str]:
    """Return how many bytes nobody has passed or been lent, and what to say where there are none."""
    left, why = _UNBOUND, ""
    for limit, account in judged:
        if limit.egress_bytes is not None:
            count = limit.egress_bytes - account.spent.egress_bytes - account.lent_bytes
            if count < left:
                others = "what is left of it is lent to other runs"
                left, why = count, f"{limit.whose} is spent: {limit.reached(account.spent) or others}"
    return left, why


@dataclass(slots=True)
class Lent:
    """Of one run. Nothing passes beyond what was lent, but for what connections have in hand."""

    lend: Callable[[int], Awaitable[int | Refused]]  # told what has passed: how much may in all
    spent: Callable[[str], None]  # told why no more may
    _passed: int = 0
    _most: int = 0
    _is_over: bool = False
    _asking: anyio.Lock = field(default_factory=anyio.Lock)

    def pass_bytes(self, count: int) -> None:
        """Take note of bytes to or from the network."""
        self._passed += count

    async def is_over(self) -> bool:
        """Return when more bytes may pass; or that none may any more."""
        if self._passed >= self._most:
            async with self._asking:
                while self._passed >= self._most and not self._is_over:
                    await self._ask()
        return self._is_over

    async def _ask(self) -> None:
        answer = await self.lend(self._passed)
        if isinstance(answer, Refused):
            self._is_over = True
            self.spent(answer.why)
        else:
            self._most = answer
