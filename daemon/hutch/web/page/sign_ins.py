"""Who is signed in to the page: a key that works once becomes a cookie, which stands for a token for a while.

All of it is in memory: the end of the daemon signs everybody out.
"""

import hashlib
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field

KEY_S = 120.0  # for a browser to come up and follow a link
SESSION_S = 12 * 3600.0
_MOST = 256  # of each; the oldest make way


@dataclass(frozen=True, slots=True)
class _Held:
    token: str = field(repr=False)
    until: float


class SignIns:
    """Looks keys and cookies up by their hashes, so that the time it takes does not tell how near one was."""

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self._keys: dict[bytes, _Held] = {}
        self._cookies: dict[bytes, _Held] = {}

    def offer(self, token: str) -> str:
        """Return a key by which whoever has it signs in, once, as the one whose `token` this is."""
        return self._put(self._keys, token, KEY_S)

    def redeem(self, key: str) -> str | None:
        """Return the cookie of a new session; None: nobody's key, or one that was used or is too old."""
        token = self._get(self._keys, key)
        self._keys.pop(_digest(key), None)
        return None if token is None else self._put(self._cookies, token, SESSION_S)

    def token_of(self, cookie: str) -> str | None:
        """Return the token that a cookie stands for; None: it has ended, or never was."""
        return self._get(self._cookies, cookie)

    def end(self, cookie: str) -> None:
        """Sign out."""
        self._cookies.pop(_digest(cookie), None)

    def _put(self, place: dict[bytes, _Held], token: str, valid_s: float) -> str:
        while len(place) >= _MOST:
            del place[next(iter(place))]
        text = secrets.token_urlsafe(32)
        place[_digest(text)] = _Held(token, self._now() + valid_s)
        return text

    def _get(self, place: dict[bytes, _Held], text: str) -> str | None:
        held = place.get(_digest(text))
        return held.token if held and self._now() < held.until else None


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
