"""Networks of a run, as a configuration would make them."""

from collections.abc import Mapping, Sequence

from hutch.config import Network as Configured
from hutch.destinations import read_bound, read_pattern
from hutch.egress import Network, union


def configured(
    *allow: str,
    deny: Sequence[str] = (),
    services: Sequence[str] = (),
    max_bytes: Mapping[str, int] | None = None,
) -> Configured:
    return Configured(
        allow=tuple(map(read_pattern, allow)),
        deny=tuple(map(read_bound, deny)),
        host_services=tuple(map(read_pattern, services)),
        max_bytes={read_bound(text): size for text, size in (max_bytes or {}).items()},
    )


def network(
    *allow: str,
    deny: Sequence[str] = (),
    services: Sequence[str] = (),
    max_bytes: Mapping[str, int] | None = None,
) -> Network:
    """The network of a run that asked for one configured network, called `n`."""
    return union(["n"], {"n": configured(*allow, deny=deny, services=services, max_bytes=max_bytes)})
