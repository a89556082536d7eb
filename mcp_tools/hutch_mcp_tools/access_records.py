"""The records about principals, their tokens and what is shared with them, as they cross the wire."""

from datetime import datetime
from typing import Literal

from hutch_mcp_tools.wire import Wire

AccessLevel = Literal["none", "ro", "rw", "owner"]


class ShareRecord(Wire):
    """What one principal may do with a volume, whatever the configuration grants it."""

    principal: str
    level: AccessLevel


class SecretCheck(Wire):
    """What a secret's host answered; `works` is None where it answers alike without the secret."""

    url: str
    status: int
    without: int
    works: bool | None
    told: str


class TokenRecord(Wire):
    """A principal's bearer token; `token` itself is told once, by the call that makes it."""

    token_id: str
    principal: str
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    token: str | None = None
