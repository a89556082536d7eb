"""Shares and tokens of the fake service: kept as they are said, and checked by nobody."""

from datetime import UTC, datetime, timedelta

from hutch_mcp_tools.access_records import AccessLevel, SecretCheck, ShareRecord, TokenRecord
from hutch_mcp_tools.service import ServiceError

_NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


class FakeAccess:
    """Knows one principal, "ci"."""

    def __init__(self) -> None:
        self.shares: dict[str, dict[str, AccessLevel]] = {}
        self.tokens: dict[str, TokenRecord] = {}

    async def share_volume(self, volume: str, principal: str, level: AccessLevel) -> list[ShareRecord]:
        self.shares.setdefault(volume, {})[principal] = level
        return await self.volume_shares(volume)

    async def volume_shares(self, volume: str) -> list[ShareRecord]:
        said = self.shares.get(volume, {})
        return [ShareRecord(principal=name, level=level) for name, level in sorted(said.items())]

    async def check_secret(self, secret: str, path: str | None = None) -> SecretCheck:
        works = {"good": True, "bad": False}.get(secret)
        return SecretCheck(url=f"https://host{path}", status=200, without=401, works=works, told="so it is")

    async def create_token(self, principal: str, valid_s: float | None = None) -> TokenRecord:
        if principal != "ci":
            raise ServiceError("principal_unknown", f"no principal is called {principal!r}", "known: ci")
        token_id = f"token{len(self.tokens)}"
        expires_at = None if valid_s is None else _NOW + timedelta(seconds=valid_s)
        made = TokenRecord(token_id=token_id, principal=principal, created_at=_NOW, expires_at=expires_at)
        self.tokens[token_id] = made
        return made.model_copy(update={"token": f"hutch_{token_id}_secret"})

    async def list_tokens(self) -> list[TokenRecord]:
        return list(self.tokens.values())

    async def revoke_token(self, token_id: str) -> TokenRecord:
        if token_id not in self.tokens:
            raise ServiceError("token_unknown", f"no token has the id {token_id!r}", "see: hutch token ls")
        ended = self.tokens[token_id].model_copy(update={"revoked_at": _NOW})
        self.tokens[token_id] = ended
        return ended
