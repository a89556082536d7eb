"""Egress: the only ways out of a sandbox, each a socket inside that we serve from outside.

    network = InForce(union(("python", "github"), config.networks))
    async with open_ways(network, run_id, folder, log) as endpoint:      # HutchError egress_failed
        spec = SandboxSpec(..., egress=endpoint)             # no rules: egress=None, not an empty endpoint
        ...                                                  # the sandbox lives and dies in this block
        network.replace(other)                               # connections whose rule is gone are cut

Every connection is *named* (host and port), *judged* by `judge`, a pure function of the network in force, and
then *carried*: `open_ways(..., carry=)` takes a function of a judged `Passage`; by default `tunnel`, blindly;
`carrying(exchanges)` reads what the steps of a run ask for, as HTTP.

`folder` exists, is private to us (0700) and short: a unix socket's path has at most 107 bytes. The socket in
it is removed when the block ends, and no connection outlives the block. `log` is called in the event loop
with a `Connection` at the end of each, refused ones included; it must not block. Beyond the first thousand of
a run it is called with sums, once a minute.

A name that resolves to a private, loopback, link-local or metadata address is refused when it is dialled,
unless its rule is a host service. On port 443 the client must say the granted name (SNI).
"""

from hutch.egress.carrying import carrying
from hutch.egress.changing import given, taken
from hutch.egress.in_force import InForce
from hutch.egress.passage import Passage, RefusedError
from hutch.egress.records import Connection, Refusal
from hutch.egress.requests import Requests
from hutch.egress.resolver import Resolver
from hutch.egress.rules import Missing, Network, Rule, judge, union
from hutch.egress.tunnel import tunnel
from hutch.egress.ways.doors import proxy_variables
from hutch.egress.ways.opening import open_ways

__all__ = [
    "Connection",
    "InForce",
    "Missing",
    "Network",
    "Passage",
    "Refusal",
    "RefusedError",
    "Requests",
    "Resolver",
    "Rule",
    "carrying",
    "given",
    "judge",
    "open_ways",
    "proxy_variables",
    "taken",
    "tunnel",
    "union",
]
