"""What is wrong with a store and how to mend it, for `hutch doctor`."""

import secrets
import statistics
from dataclasses import dataclass
from datetime import UTC, datetime

import anyio

from hutch.errors import HutchError
from hutch.volumes.failures import StoreError
from hutch.volumes.stores.proven import ProvenStore
from hutch.volumes.stores.root import ROOT_KEY

_LIMIT_S = 30.0
_READS = 5
_SKEW_S = 60.0  # signed requests are refused beyond 15 minutes; leases and ages want better than that

_SHOWN_BY = {  # the code of an error -> the check that it fails
    "store_url_invalid": "url",
    "store_credentials": "credentials",
    "store_forbidden": "credentials",
    "store_bucket_missing": "store",
    "store_region": "store",
    "store_gone": "store",
    "store_changed": "store",
    "store_full": "store",
    "store_clock_skew": "clock",
    "store_unsafe": "conditional writes",
}


@dataclass(frozen=True, slots=True)
class StoreCheck:
    """One thing that was looked at."""

    name: str
    works: bool
    detail: str
    fix: str = ""


async def examine_store(store: ProvenStore, *, fresh: bool) -> list[StoreCheck]:
    """Look at everything, up to what fails; `fresh` proves conditions again."""
    checks: list[StoreCheck] = []
    try:
        with anyio.fail_after(_LIMIT_S):
            await _look(store, checks, fresh=fresh)
    except HutchError as error:
        name = _SHOWN_BY.get(error.code, "endpoint")
        checks.append(StoreCheck(name, works=False, detail=f"{error.code}: {error.message}", fix=error.hint))
    except TimeoutError:
        detail = f"no answer within {_LIMIT_S:.0f} s"
        checks.append(
            StoreCheck(
                "endpoint", works=False, detail=detail, fix="see the network, and storage.endpoint_url"
            )
        )
    return checks


async def _look(store: ProvenStore, checks: list[StoreCheck], *, fresh: bool) -> None:
    proven_at = await store.prove(fresh=fresh)
    await store.get(ROOT_KEY)
    checks.append(
        StoreCheck("store", works=True, detail="can be reached, and is the one that this host uses")
    )
    detail = f"honoured in races of many writers at {proven_at:%Y-%m-%d %H:%M:%SZ}"
    checks.append(StoreCheck("conditional writes", works=True, detail=detail))
    checks.append(await _clock(store))
    checks.append(await _latency(store))


async def _clock(store: ProvenStore) -> StoreCheck:
    """By an object written now: its time is the clock by which a store's objects grow old."""
    key = f"probes/{secrets.token_hex(16)}"
    before = datetime.now(UTC)
    await store.put(key, b"")
    after = datetime.now(UTC)
    try:
        async for info in store.list(key):
            skew = (info.modified_at - (before + (after - before) / 2)).total_seconds()
            return _clock_check(skew)
        raise StoreError(f"object {key!r}: was written and is not listed")
    finally:
        await store.delete(key)


def _clock_check(skew: float) -> StoreCheck:
    works = abs(skew) <= _SKEW_S
    fix = "" if works else "set this machine's clock, or the server's"
    return StoreCheck("clock", works=works, detail=f"the store's is {round(skew):+d} s from ours", fix=fix)


async def _latency(store: ProvenStore) -> StoreCheck:
    taken: list[float] = []
    for _ in range(_READS):
        begun = anyio.current_time()
        await store.get(ROOT_KEY)
        taken.append(anyio.current_time() - begun)
    detail = f"{statistics.median(taken) * 1000:.1f} ms for a small read"
    return StoreCheck("latency", works=True, detail=detail)
