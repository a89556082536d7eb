"""Egress: the granted ways out of a sandbox, each a listening socket inside that we serve from outside.

    grants = (parse_grant("api.anthropic.com:443"), parse_grant("127.0.0.1:8787", is_host_service=True))
                                                             # HutchError grant_invalid
    async with open_doors(grants, run_id, folder, log) as endpoint:      # HutchError egress_failed
        spec = SandboxSpec(..., egress=endpoint)             # no grants: egress=None, not an empty endpoint
        ...                                                  # the sandbox lives and dies in this block

`folder` exists, is private to us (0700) and short: a unix socket's path has at most 107 bytes. The socket in
it is removed when the block ends, and no connection outlives the block. `log` is called in the event loop
with a `Connection` at the end of each, refused ones included; it must not block. Beyond the first thousand of
a run it is called with sums, once a minute.

A grant for a name that resolves to a private, loopback, link-local or metadata address is refused when it is
dialled, unless it is a host service. On port 443 the client must say the granted name (SNI), else the
connection is closed before anything is dialled.
"""

from hutch.egress.doors import open_doors
from hutch.egress.rules import Connection, Grant, Refusal, parse_grant

__all__ = ["Connection", "Grant", "Refusal", "open_doors", "parse_grant"]
