"""What went out of sandboxes, as it crosses the wire."""

from datetime import datetime

from hutch_mcp_tools.wire import Wire


class ConnectionRecord(Wire):
    """One connection at its end, or a refusal; of a run that makes very many, the sum of `count` alike."""

    at: datetime
    host: str
    port: int  # 0: only its name was asked for
    address: str | None = None  # that was dialled
    rule: str = ""  # that let it through, or was missing
    way: str = ""  # in: "door", "proxy", "socks" or "dns"
    sent: int = 0  # bytes out of the sandbox
    received: int = 0  # bytes into it
    duration_s: float = 0
    refused: str | None = None  # in one word
    told: str = ""  # of a refusal: what is in the way, and how to ask for it
    count: int = 1
    secrets: tuple[str, ...] = ()  # names of those that were put into its requests


class TrafficRecord(Wire):
    """What passed to one destination by one rule, or what was refused there, summed."""

    host: str
    port: int
    rule: str = ""
    is_refused: bool = False
    told: str = ""
    count: int = 1
    sent: int = 0
    received: int = 0
    duration_s: float = 0

    @property
    def where(self) -> str:
        return f"{self.host}:{self.port}" if self.port else self.host or "the proxy"


class NetworkChange(Wire):
    """What the owner gives to a run while it lives, or takes from it: "host", "host:port", "*.host"."""

    host: str
    allowed: bool
    is_host_service: bool = False  # may be a private or loopback address


class NetworkRecord(Wire):
    """What a sandbox at work may reach now, and what was changed since it began."""

    of: str  # the run, or the session of a kept sandbox, all of whose runs it is for
    allow: list[str]
    deny: list[str]
    changes: list[str]  # "2026-11-21T15:40:03Z owner: allow api.example.org:443"
