"""The parts that all of the engine stands on, put together once."""

from dataclasses import dataclass

from hutch.volumes.clock import Clock
from hutch.volumes.lease.leases import Leases
from hutch.volumes.lease.publish import Publisher
from hutch.volumes.log.appending import Appender
from hutch.volumes.log.history import History
from hutch.volumes.log.quotas import Quotas
from hutch.volumes.past.forking import Forking
from hutch.volumes.past.keeping import Keeping
from hutch.volumes.past.markers import Markers
from hutch.volumes.past.selecting import Selector
from hutch.volumes.past.tags import Tags
from hutch.volumes.stores.protocol import ObjectStore


@dataclass(frozen=True, slots=True)
class Engine:
    """One store with its logs and leases."""

    store: ObjectStore
    clock: Clock
    history: History
    leases: Leases
    publisher: Publisher
    keeping: Keeping
    tags: Tags
    markers: Markers
    quotas: Quotas
    selector: Selector
    forking: Forking


def build_engine(store: ObjectStore, clock: Clock, lease_ttl_s: float, quotas: Quotas) -> Engine:
    """Everything that needs nothing of this host."""
    history = History(store)
    leases = Leases(store, clock, lease_ttl_s)
    keeping = Keeping(store)
    tags = Tags(store, history, keeping, clock)
    markers = Markers(store, leases)
    return Engine(
        store,
        clock,
        history,
        leases,
        Publisher(history, Appender(store, history), leases, clock, quotas),
        keeping,
        tags,
        markers,
        quotas,
        Selector(history, keeping, tags, markers, clock),
        Forking(store, leases, keeping, clock),
    )
