"""Overwrites a secret's value where an answer says it, in the forms in which it is likely to. Pure."""

import base64
from collections.abc import Iterable
from dataclasses import dataclass, field

from hutch.secrets.spelled import Spelled

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


@dataclass(frozen=True, slots=True)
class Marks:
    """By what one value is known in an answer."""

    forms: tuple[Form, ...]
    spelled: Spelled = field(repr=False)
    phantom: bytes
    firsts: frozenset[int] = field(repr=False)  # of the forms

    def clean(self, data: bytes) -> bytes:
        """Return it without a value that lies wholly in it."""
        for form in self.forms:
            data = data.replace(form.value, form.instead)
        for start, end in list(self.spelled.found(data)):
            data = data[:start] + _fitted(self.phantom, end - start) + data[end:]
        return data

    def begun(self, data: bytes) -> int:
        """Return where a value may begin that is not all there."""
        for at in range(max(0, len(data) - len(self.forms[0].value) + 1), len(data)):
            if data[at] in self.firsts and any(form.value.startswith(data[at:]) for form in self.forms):
                return min(at, self.spelled.begun(data))
        return self.spelled.begun(data)


def marks_of(value: bytes, phantom: bytes) -> Marks:
    """Return how a value is found, and what is written over it."""
    forms = forms_of(value, phantom)
    return Marks(forms, Spelled(value), phantom, frozenset(form.value[0] for form in forms))


class Scrubber:
    """Takes an answer piece by piece; a value that lies across pieces is found too."""

    def __init__(self, marks: Iterable[Marks]) -> None:
        self._marks = tuple(marks)
        self._held = b""

    def feed(self, data: bytes) -> bytes:
        """Return what can be told to be clean; what may begin a value waits for more."""
        data = self.clean(self._held + data)
        at = min((marks.begun(data) for marks in self._marks), default=len(data))
        self._held = data[at:]
        return data[:at]

    def end(self) -> bytes:
        """Return what was held back."""
        held, self._held = self._held, b""
        return held

    def clean(self, data: bytes) -> bytes:
        """Return it without a value that lies wholly in it."""
        for marks in self._marks:
            data = marks.clean(data)
        return data
