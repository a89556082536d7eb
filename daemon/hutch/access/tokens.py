"""Bearer tokens of principals. The daemon keeps a hash of each, so it shows a token once and never again.

A token holds 256 random bits, so a plain hash is enough: there is nothing to guess through a dictionary.
"""

import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Sequence

from hutch.access.access import unknown_principal
from hutch.config import Config
from hutch.errors import HutchError
from hutch.state import AccessToken, State

_TOKEN = re.compile(r"hutch_(?P<id>[a-z2-9]{10})_[A-Za-z0-9_-]{43}", re.ASCII)
_ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789"
_ID_LENGTH = 10
_LONGEST_S = 3652 * 86_400.0
_NOBODY = AccessToken("", "", b"\0" * 32, 0.0)  # what a token of an id that is not there is compared with


class AccessTokens:
    """Every token of this daemon's principals; its own token, which is the owner's, is a file beside."""

    def __init__(self, config: Config, state: State) -> None:
        self._principals = config.principals
        self._state = state

    async def create(self, principal: str, valid_s: float | None) -> tuple[AccessToken, str]:
        """Make a token, for `valid_s` seconds or until it is revoked; return its record and its text.

        Raises:
            HutchError: `principal_unknown`, `limit_exceeded`.
        """
        if principal not in self._principals:
            raise unknown_principal(principal, self._principals)
        if valid_s is not None and not 0 < valid_s <= _LONGEST_S:
            raise HutchError(
                "limit_exceeded",
                "a token is valid for at most ten years",
                "without an end it is valid until it is revoked",
            )
        token_id = "".join(secrets.choice(_ALPHABET) for _ in range(_ID_LENGTH))
        text = f"hutch_{token_id}_{secrets.token_urlsafe(32)}"
        now = time.time()
        expires_at = None if valid_s is None else now + valid_s
        token = AccessToken(token_id, principal, _digest(text), now, expires_at)
        await self._state.add_token(token)
        return token, text

    async def principal_of(self, text: str) -> str | None:
        """Return whose token this is; None: nobody's, or expired, revoked, of a principal that is gone."""
        found = _TOKEN.fullmatch(text)
        token = (await self._state.token(found["id"]) if found else None) or _NOBODY
        if not hmac.compare_digest(_digest(text), token.digest):
            return None
        is_valid = token.revoked_at is None and (token.expires_at is None or time.time() < token.expires_at)
        return token.principal if is_valid and token.principal in self._principals else None

    async def list(self) -> Sequence[AccessToken]:
        """Every token, newest first."""
        return await self._state.tokens()

    async def revoke(self, token_id: str) -> AccessToken:
        """End a token at once; one that was revoked already stays as it is. Raises `token_unknown`."""
        await self._state.revoke_token(token_id, time.time())
        token = await self._state.token(token_id)
        if token is None:
            raise HutchError("token_unknown", f"no token has the id {token_id[:80]!r}", "see: hutch token ls")
        return token


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
