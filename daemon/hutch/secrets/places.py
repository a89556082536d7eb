"""Where in a request a secret may stand: a header, basic authentication, a query parameter. Pure."""

import base64
import binascii
from dataclasses import dataclass, replace
from typing import Protocol
from urllib.parse import quote, unquote_to_bytes

from hutch.egress.exchange import Headers, Request

_AUTHORIZATION = b"authorization"


class Place(Protocol):
    """Puts a value where its placeholder stands, and nowhere else."""

    def put(self, request: Request, phantom: bytes, value: bytes) -> Request:
        """Return the request with the value in this place; the same one where no placeholder stands there."""

    def filled(self, request: Request, value: bytes) -> Request:
        """Return a request that had nothing in this place, with the value there."""


@dataclass(frozen=True, slots=True)
class InHeader:
    """A header that says just this, with the secret in place of {}."""

    name: str  # lower case
    template: str = "{}"

    def put(self, request: Request, phantom: bytes, value: bytes) -> Request:
        was, now = self._said(phantom), self._said(value)
        return replace(request, headers=_changed(request.headers, self.name.encode(), was, now))

    def filled(self, request: Request, value: bytes) -> Request:
        return request.with_header(self.name.encode(), self._said(value))

    def _said(self, secret: bytes) -> bytes:
        before, _, after = self.template.encode().partition(b"{}")
        return before + secret + after

    def __str__(self) -> str:
        return f"header {self.name}" + ("" if self.template == "{}" else f": {self.template}")


@dataclass(frozen=True, slots=True)
class InBasic:
    """The password of basic authentication, or its user name: some services take a token as either."""

    def put(self, request: Request, phantom: bytes, value: bytes) -> Request:
        headers = tuple((name, self._put(name, said, phantom, value)) for name, said in request.headers)
        return replace(request, headers=headers)

    def filled(self, request: Request, value: bytes) -> Request:
        return request.with_header(_AUTHORIZATION, b"Basic " + base64.b64encode(b"x-access-token:" + value))

    def _put(self, name: bytes, said: bytes, phantom: bytes, value: bytes) -> bytes:
        pair = basic_pair(said) if name.lower() == _AUTHORIZATION else None
        if pair is None or phantom not in pair:
            return said
        user, password = (value if part == phantom else part for part in pair)
        return b"Basic " + base64.b64encode(user + b":" + password)

    def __str__(self) -> str:
        return "basic"


@dataclass(frozen=True, slots=True)
class InQuery:
    """A parameter of the query."""

    name: str

    def put(self, request: Request, phantom: bytes, value: bytes) -> Request:
        path, mark, query = request.target.partition("?")
        parts = [self._put(part, phantom, value) for part in query.split("&")]
        return replace(request, target=path + mark + "&".join(parts))

    def filled(self, request: Request, value: bytes) -> Request:
        mark = "&" if "?" in request.target else "?"
        return replace(request, target=f"{request.target}{mark}{self.name}={quote(value, safe='')}")

    def _put(self, part: str, phantom: bytes, value: bytes) -> str:
        name, _, said = part.partition("=")
        if unquote_to_bytes(name) == self.name.encode() and unquote_to_bytes(said) == phantom:
            return f"{name}={quote(value, safe='')}"
        return part

    def __str__(self) -> str:
        return f"query {self.name}"


def read_place(text: str) -> Place | None:
    """Read "header NAME", "header NAME: TEMPLATE", "bearer", "basic" or "query NAME"; None: it is none."""
    kind, _, rest = text.strip().partition(" ")
    name, _, template = (part.strip() for part in rest.partition(":"))
    if kind == "header" and _is_token(name) and template.count("{}") == (1 if template else 0):
        return InHeader(name.lower(), template or "{}")
    if text == "bearer":
        return InHeader("authorization", "Bearer {}")
    if text == "basic":
        return InBasic()
    if kind == "query" and rest and rest.isascii() and rest.isprintable() and not set(rest) & set("&=# "):
        return InQuery(rest)
    return None


def basic_pair(said: bytes) -> tuple[bytes, bytes] | None:
    """Return user and password of an Authorization header; None: it holds none."""
    scheme, _, coded = said.strip().partition(b" ")
    if scheme.lower() != b"basic":
        return None
    try:
        user, colon, password = base64.b64decode(coded.strip(), validate=True).partition(b":")
    except binascii.Error:
        return None
    return (user, password) if colon else None


def _changed(headers: Headers, name: bytes, was: bytes, now: bytes) -> Headers:
    """Replace what a header says; its scheme is of any case, as in RFC 9110 §11.1."""
    return tuple((key, now if key.lower() == name and _same(said, was) else said) for key, said in headers)


def _same(said: bytes, was: bytes) -> bool:
    scheme, space, rest = said.strip().partition(b" ")
    expected, _, other = was.partition(b" ")
    return scheme.lower() == expected.lower() and rest.strip() == other if space else said.strip() == was


def _is_token(name: str) -> bool:
    return bool(name) and name.isascii() and all(c.isalnum() or c in "-_" for c in name)
