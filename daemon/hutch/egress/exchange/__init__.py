"""HTTP that is read between a sandbox and a host, for the hosts where a step of the run asks for it.

    exchanges = Exchanges(run_id, steps)                 # of a run, for as long as it lives
    exchanges.certificate                                # PEM; the sandbox has to trust it
    if exchanges.reads(host, port):                      # that was judged
        await exchanges.serve(client, first, (host, port), dial, watch)     # UnreachedError

`steps` says what a step is; the others carry requests and answers and change nothing of their own accord.
`first` is what was read of the client's bytes: they tell TLS from plain HTTP. `dial` connects to the vetted
address; the real server has to prove that it is `host`. HTTP/1.1 is spoken on both sides, and websockets.
"""

from hutch.egress.exchange.exchanges import Exchanges
from hutch.egress.exchange.http import UnreachedError
from hutch.egress.exchange.steps import Answer, Exchange, Headers, Reply, Request, Step

__all__ = [
    "Answer",
    "Exchange",
    "Exchanges",
    "Headers",
    "Reply",
    "Request",
    "Step",
    "UnreachedError",
]
