"""The kinds of value that a key may have: each reads one TOML value, or says what it must be."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import ip_address
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

from hutch_launchers.sizes import parse_size, size

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9_-]{0,62}[a-z0-9])?", re.ASCII)
_PATTERN = re.compile(r"([A-Za-z0-9._*-]{1,255}/)?[A-Za-z0-9._*-]{1,255}", re.ASCII)
_DESTINATION = re.compile(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.-]+):([0-9]{1,5})", re.ASCII)


class WrongValueError(Exception):
    """What a value must be: "must be …", without the key's name."""


class Kind(Protocol):
    """How a value is read. Raises WrongValueError."""

    def read(self, value: object) -> object: ...


@dataclass(frozen=True, slots=True)
class Text:
    """A string; with `pattern`, all of it must match, and `form` says so for a person."""

    pattern: str = ""
    form: str = ""

    def read(self, value: object) -> str:
        if not isinstance(value, str):
            raise WrongValueError("must be a string")
        if self.pattern and not re.fullmatch(self.pattern, value, re.ASCII):
            raise WrongValueError(f"must be {self.form}, not {value!r}")
        return value


URL = Text(r"(https?://[^\s/]+[^\s]*)?", "an http or https URL, or empty")


@dataclass(frozen=True, slots=True)
class Choice:
    """One of a few words."""

    words: tuple[str, ...]

    def read(self, value: object) -> str:
        if value not in self.words:
            known = ", ".join(word or "nothing" for word in self.words)
            raise WrongValueError(f"must be one of {known}, not {value!r}")
        return str(value)


@dataclass(frozen=True, slots=True)
class Flag:
    """True or false."""

    def read(self, value: object) -> bool:
        if not isinstance(value, bool):
            raise WrongValueError(f"must be true or false, not {value!r}")
        return value


@dataclass(frozen=True, slots=True)
class Number:
    """A number from `least` to `most`, both included."""

    least: float
    most: float
    unit: str = ""

    def read(self, value: object) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise WrongValueError(f"must be a number{self.unit and f' of {self.unit}'}, not {value!r}")
        return float(_within(value, self.least, self.most, self.unit))


@dataclass(frozen=True, slots=True)
class Whole:
    """A whole number from `least` to `most`, both included."""

    least: int
    most: int

    def read(self, value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise WrongValueError(f"must be a whole number, not {value!r}")
        return int(_within(value, self.least, self.most, ""))


@dataclass(frozen=True, slots=True)
class Size:
    """Bytes, as "512MiB", "10GB" or a plain number; `key` is its name in the file, where it is another."""

    least: int
    key: str = ""

    def read(self, value: object) -> int:
        count = value if isinstance(value, int) and not isinstance(value, bool) else None
        if isinstance(value, str):
            count = parse_size(value)
        if count is None:
            raise WrongValueError(f'must be a size such as "512MiB", not {value!r}')
        if count < self.least:
            raise WrongValueError(f"must be at least {size(self.least)}, not {value!r}")
        return count


@dataclass(frozen=True, slots=True)
class Place:
    """An absolute path. With `may_be_empty`, "" leaves the choice to Hutch and is read as `Path()`."""

    may_be_empty: bool = False

    def read(self, value: object) -> Path:
        if not isinstance(value, str) or "\0" in value:
            raise WrongValueError(f"must be a path, not {value!r}")
        if not value and self.may_be_empty:
            return Path()
        path = Path(value)
        if not path.is_absolute() or ".." in path.parts:
            raise WrongValueError(f'must be an absolute path without "..", not {value!r}')
        return path


@dataclass(frozen=True, slots=True)
class Template:
    """The words of a command, a list within it a group of them; or the path of a program alone."""

    def read(self, value: object) -> tuple[str | tuple[str, ...], ...]:
        if isinstance(value, str):
            path = Place(may_be_empty=True).read(value)
            return () if path == Path() else (str(path),)
        if not isinstance(value, list):
            raise WrongValueError(
                f'must be a path, or a list such as ["my-agent", "{{prompt}}"], not {value!r}'
            )
        return tuple(self._group(item) if isinstance(item, list) else self._word(item) for item in value)

    def _group(self, items: list[object]) -> tuple[str, ...]:
        return tuple(self._word(item) for item in items)

    def _word(self, item: object) -> str:
        if not isinstance(item, str) or "\0" in item:
            raise WrongValueError(f"must hold words, not {item!r}")
        return item


@dataclass(frozen=True, slots=True)
class StarredPlace:
    """An absolute path in which `*` stands for any text without a slash."""

    def read(self, value: object) -> Path:
        if isinstance(value, str) and "**" in value:
            raise WrongValueError(f'must be a path without "**", not {value!r}')
        return Place().read(value)


@dataclass(frozen=True, slots=True)
class Each:
    """A list whose items are all of one kind and all different."""

    kind: Kind

    def read(self, value: object) -> tuple[object, ...]:
        if not isinstance(value, list):
            raise WrongValueError(f"must be a list, not {value!r}")
        items = tuple(self.kind.read(item) for item in value)
        if len(set(items)) != len(items):
            raise WrongValueError(f"must not name anything twice: {value!r}")
        return items


@dataclass(frozen=True, slots=True)
class Grants:
    """A table from patterns of volumes' names to what may be done with them."""

    words: tuple[str, ...]

    def read(self, value: object) -> Mapping[str, str]:
        if not isinstance(value, dict):
            raise WrongValueError(f'must be a table such as {{"team-*" = "rw"}}, not {value!r}')
        choice = Choice(self.words)
        return MappingProxyType({_pattern(pattern): choice.read(word) for pattern, word in value.items()})


@dataclass(frozen=True, slots=True)
class Bounds:
    """A table from patterns of volumes' names to bounds, each of a kind. What is not said is 0: no bound."""

    kinds: tuple[tuple[str, Kind], ...]

    def read(self, value: object) -> Mapping[str, Mapping[str, object]]:
        if not isinstance(value, dict):
            raise WrongValueError(f'must be a table such as {{"team-*" = {{max_files = 9}}}}, not {value!r}')
        return MappingProxyType({_pattern(pattern): self._bounds(each) for pattern, each in value.items()})

    def _bounds(self, value: object) -> Mapping[str, object]:
        kinds = dict(self.kinds)
        if not isinstance(value, dict) or not value.keys() <= kinds.keys():
            raise WrongValueError(f"must give {' and '.join(kinds)}, not {value!r}")
        return MappingProxyType(dict.fromkeys(kinds, 0) | {key: kinds[key].read(value[key]) for key in value})


@dataclass(frozen=True, slots=True)
class AnyOf:
    """A set of words of an enumeration."""

    words: type[StrEnum]

    def read(self, value: object) -> frozenset[StrEnum]:
        read = Each(Choice(tuple(word.value for word in self.words))).read(value)
        return frozenset(self.words(str(word)) for word in read)


@dataclass(frozen=True, slots=True, order=True)
class Address:
    """Where to listen."""

    host: str  # an IP literal or "localhost"
    port: int

    @property
    def is_loopback(self) -> bool:
        return self.host == "localhost" or ip_address(self.host).is_loopback

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Listen:
    """An `Address`; port 0 lets the system choose."""

    def read(self, value: object) -> Address:
        found = _DESTINATION.fullmatch(value) if isinstance(value, str) else None
        host = found[1].strip("[]") if found else ""
        if not found or int(found[2]) > 65535 or not _is_literal(host):
            raise WrongValueError(f'must be an address and a port such as "127.0.0.1:8750", not {value!r}')
        return Address(host, int(found[2]))


def _pattern(text: str) -> str:
    if not _PATTERN.fullmatch(text):
        raise WrongValueError(f"must name volumes by A-Z a-z 0-9 . _ - and *, not by {text!r}")
    return text


def is_name(text: str) -> bool:
    """Whether a method, an agent or a network may be called so."""
    return bool(_NAME.fullmatch(text))


def _within(value: float, least: float, most: float, unit: str) -> float:
    if not least <= value <= most:  # also what is not a number: nan
        raise WrongValueError(f"must be from {least:g} to {most:g}{unit and f' {unit}'}, not {value!r}")
    return value


def _is_literal(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return host == "localhost"
    return True
