"""HTTP that is read between a sandbox and a host, for the hosts where a step of the run asks for it.

`steps` says what a step is; everything else is about carrying requests and answers without changing them.
"""

from hutch.egress.exchange.steps import Answer, Exchange, Headers, Reply, Request, Step

__all__ = ["Answer", "Exchange", "Headers", "Reply", "Request", "Step"]
