"""Overwrites a secret's value where an answer says it, in the forms in which it is likely to. Pure."""

import base64
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import quote

_LEAST = 6  # bytes of a piece of base64 that is looked for; below, it would be found by chance


@dataclass(frozen=True, slots=True)
class Form:
    """One way to write a value, and what is written over it: as long, so that no length changes."""

    value: bytes = field(repr=False)
    instead: bytes


def forms_of(value: bytes, phantom: bytes) -> tuple[Form, ...]:
    """Return the forms of a value, each with the placeholder's own form in its place."""
    pairs = zip(_written(value), _written(phantom), strict=True)
    forms = {was: Form(was, _fitted(now, len(was))) for was, now in pairs if len(was) >= _LEAST}
    return tuple(sorted(forms.values(), key=lambda form: -len(form.value)))


def _written(value: bytes) -> Iterable[bytes]:
    yield value
    text = value.decode("utf-8", "surrogateescape")
    yield quote(value, safe="").encode()
    yield quote(value, safe="/~").encode()
    yield re.sub(rb"%..", lambda hex_digits: hex_digits[0].lower(), quote(value, safe="").encode())
    for escaped in (json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]):
        yield escaped.encode("utf-8", "surrogateescape")
        yield escaped.replace("/", "\\/").encode("utf-8", "surrogateescape")
    yield value.hex().encode()
    yield value.hex().upper().encode()
    for before in range(3):  # as a part of something longer, it begins at any of three places
        coded = _core(value, before)
        yield coded
        yield coded.replace(b"+", b"-").replace(b"/", b"_")


def _core(value: bytes, before: int) -> bytes:
    """Return the characters of base64 that depend on the value alone, with `before` bytes ahead of it."""
    coded = base64.b64encode(bytes(before) + value)
    first = -(-before * 8 // 6)
    last = (before + len(value)) * 8 // 6
    return coded[first:last]


def _fitted(text: bytes, length: int) -> bytes:
    return text[:length].ljust(length, b"*")


class Scrubber:
    """Takes an answer piece by piece; a value that lies across pieces is found too."""

    def __init__(self, forms: Iterable[Form]) -> None:
        self._forms = tuple(forms)
        self._longest = max((len(form.value) for form in self._forms), default=0)
        self._firsts = {form.value[0] for form in self._forms}
        self._held = b""
        self.found = 0

    def feed(self, data: bytes) -> bytes:
        """Return what can be told to be clean; what may begin a value waits for more."""
        data = self.clean(self._held + data)
        at = self._begun(data)
        self._held = data[at:]
        return data[:at]

    def end(self) -> bytes:
        """Return what was held back."""
        held, self._held = self._held, b""
        return held

    def clean(self, data: bytes) -> bytes:
        """Return it without a value that lies wholly in it."""
        for form in self._forms:
            if form.value in data:
                self.found += data.count(form.value)
                data = data.replace(form.value, form.instead)
        return data

    def _begun(self, data: bytes) -> int:
        """Return where a value may begin that is not all there."""
        for at in range(max(0, len(data) - self._longest + 1), len(data)):
            if data[at] in self._firsts and any(form.value.startswith(data[at:]) for form in self._forms):
                return at
        return len(data)
