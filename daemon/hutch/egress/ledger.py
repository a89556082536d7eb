"""The log of one run's connections: each by itself, and where they are very many, sums."""

from collections.abc import Callable
from dataclasses import replace

from hutch.egress.records import Connection, Refusal

SINGLY = 1000  # connections of a run that are logged one by one
KINDS = 1000  # that are summed by themselves; a sandbox may ask for a new name each time
OTHERS = "(others)"  # in place of a host, of all further ones
TOLD = 1000  # characters of what a refusal says: a part of it may be the client's own words
FLUSH_S = 60.0  # how long a sum is held back at most

Log = Callable[[Connection], None]
# Host, port, refused, rule, way in, names of secrets
_Alike = tuple[str, int, Refusal | None, str, str, tuple[str, ...]]


class Ledger:
    """Passes connections on to `log`; a sandbox that makes thousands must not fill the disk with them."""

    def __init__(self, run_id: str, log: Log) -> None:
        self._run_id = run_id
        self._log = log
        self._seen = 0
        self._kinds: set[_Alike] = set()
        self._sums: dict[_Alike, Connection] = {}

    def add(self, record: Connection) -> None:
        self._seen += 1
        if len(record.told) > TOLD:
            record = replace(record, told=record.told[:TOLD] + "…")
        if self._seen <= SINGLY:
            self._log(record)
            return
        key = _alike(record)
        if key not in self._kinds and len(self._kinds) >= KINDS:
            told = record.refused.told if record.refused else ""
            record = replace(record, host=OTHERS, port=0, address=None, rule="", told=told)
            key = _alike(record)
        else:
            self._kinds.add(key)
        held = self._sums.get(key)
        self._sums[key] = record if held is None else _sum(held, record)

    def flush(self) -> None:
        """Log the sums so far."""
        for record in self._sums.values():
            self._log(record)
        self._sums.clear()


def _alike(record: Connection) -> _Alike:
    return record.host, record.port, record.refused, record.rule, record.way, record.secrets


def _sum(held: Connection, record: Connection) -> Connection:
    return replace(
        held,
        duration_s=held.duration_s + record.duration_s,
        bytes_out=held.bytes_out + record.bytes_out,
        bytes_in=held.bytes_in + record.bytes_in,
        count=held.count + record.count,
    )
