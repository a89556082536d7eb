"""What may be dialled: grants, and the addresses that a granted name may stand for. Pure."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class Grant:
    """One destination that a sandbox may reach. Made by `parse_grant` only, so its form is checked."""

    host: str  # lower-case ASCII name, or a canonical IP literal
    port: int
    is_host_service: bool = False  # may be a loopback or private address: the owner named it


class Refusal(StrEnum):
    """Why a connection was not made."""

    ADDRESS = "address"  # the name stands for addresses that are never dialled
    UNRESOLVED = "unresolved"
    UNREACHABLE = "unreachable"
    SERVER_NAME = "server_name"  # TLS to another name than the granted one, or to none
    TOO_MANY = "too_many"  # connections of this run at once


@dataclass(frozen=True, slots=True)
class Connection:
    """One connection of a run, at its end."""

    run_id: str
    host: str
    port: int
    address: str | None  # dialled; None: nothing was
    started_at: datetime
    duration_s: float
    bytes_out: int  # from the sandbox
    bytes_in: int
    refused: Refusal | None = None


def parse_grant(text: str, *, is_host_service: bool = False) -> Grant:
    """Read "host:port" or "[v6]:port". Raises HutchError `grant_invalid`."""
    raise NotImplementedError
