"""What becomes of a connection: why it was not made, and the record of it. Plain data."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Refusal(StrEnum):
    """Why a connection was not made, or was cut."""

    RULE = "rule"  # no rule of the run's network lets it through, or one denies it
    NAME = "name"  # what was asked for is no host's name
    ADDRESS = "address"  # the name stands for addresses that are never dialled
    UNRESOLVED = "unresolved"
    UNREACHABLE = "unreachable"
    SERVER_NAME = "server_name"  # TLS to another name than the granted one, or to none, or no TLS
    REQUEST = "request"  # a request to the proxy that is malformed or can be read in two ways
    HTTP = "http"  # a request on it was answered by us: a rule, a secret or a budget is in its way
    UNREAD = "unread"  # given while the run went on, which cannot count or judge what is asked there
    TOO_MANY = "too_many"  # connections of this run at once
    BYTES = "bytes"  # what may pass to this host in one run has passed
    CUT = "cut"  # the rule was taken away while it was open

    @property
    def told(self) -> str:
        """The same for people, with what mends it."""
        return _TOLD[self]


_TOLD = {
    Refusal.RULE: "no rule of this run's network allows it",
    Refusal.NAME: "it is asked for by an address or by what is no host's name; ask for the name",
    Refusal.ADDRESS: "its name stands for an address that is never dialled; one of this machine or its own "
    "network is granted under host_services",
    Refusal.UNRESOLVED: "this host cannot resolve its name; is it online?",
    Refusal.UNREACHABLE: "this host cannot reach it; is it online, and does somebody listen there?",
    Refusal.SERVER_NAME: "the client named another server, or spoke no TLS",
    Refusal.REQUEST: "the request is malformed, or two programs would read it differently",
    Refusal.HTTP: "a request was not sent on",
    Refusal.UNREAD: "what is asked there is counted or judged, for which this run had to be started with it",
    Refusal.TOO_MANY: "this run has too many connections at once",
    Refusal.BYTES: "the bytes that max_bytes lets pass to it in one run have passed",
    Refusal.CUT: "its rule was taken away while the run was going on",
}


@dataclass(frozen=True, slots=True)
class Connection:
    """One connection of a run, at its end; of a run that makes very many, the sum of `count` alike."""

    run_id: str
    host: str
    port: int
    address: str | None  # dialled; None: nothing was
    started_at: datetime
    duration_s: float
    bytes_out: int  # from the sandbox
    bytes_in: int
    refused: Refusal | None = None
    count: int = 1
    way: str = ""  # in: "door", "proxy", "socks" or "dns"
    rule: str = ""  # that let it through, or was missing
    told: str = ""  # for people: what is in the way and how to ask for it; empty where it passed
    secrets: tuple[str, ...] = ()  # names of those that were put into its requests
