"""Reads a TOML table into a record; says which key of which file is wrong, and which was likely meant."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from dataclasses import fields as dataclass_fields
from difflib import get_close_matches
from typing import TypeVar, get_type_hints

from hutch.config.kinds import Kind, Size, WrongValueError
from hutch.errors import HutchError

R = TypeVar("R")

_EVERY_KEY = "docs/configuration.md lists every key"


@dataclass(frozen=True, slots=True)
class Key:
    """One key of a table: the record's field, its name in the file, and how its value is read."""

    field: str
    name: str
    kind: Kind | None  # None: a table of its own
    record: type


def keys_of(record: type) -> dict[str, Key]:
    """The keys of a record, by their names in the file."""
    hints = get_type_hints(record, include_extras=True)
    keys = (_key(item.name, hints[item.name]) for item in dataclass_fields(record))
    return {key.name: key for key in keys}


def _key(name: str, hint: object) -> Key:
    metadata = getattr(hint, "__metadata__", None)
    if metadata is None:
        assert isinstance(hint, type)
        return Key(name, name, None, hint)
    kind: Kind = metadata[0]
    return Key(name, kind.key if isinstance(kind, Size) and kind.key else name, kind, object)


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads the tables of one file; `source` names it in errors."""

    source: str

    def record(self, record: type[R], table: object, where: str, defaults: R) -> R:
        """`table` as a `record`, its missing keys from `defaults`."""
        keys = keys_of(record)
        table = self.table(table, where)
        self.refuse_unknown(table, keys, where)
        values = {key.field: getattr(defaults, key.field) for key in keys.values()}
        for name, value in table.items():
            key = keys[name]
            here = _below(where, name)
            if key.kind is None:
                values[key.field] = self.record(key.record, value, here, values[key.field])
            else:
                values[key.field] = self._value(key.kind, value, here)
        return record(**values)

    def table(self, value: object, where: str) -> Mapping[str, object]:
        if not isinstance(value, dict):
            raise self.error(where, "must be a table", f"write it as [{where}]")
        return value

    def refuse_unknown(self, table: Mapping[str, object], known: Iterable[str], where: str) -> None:
        known = tuple(known)
        for name in table:
            if name not in known:
                hint = " ".join(filter(None, (meant(name, known), _EVERY_KEY)))
                raise self.error(_below(where, name), "is not a key", hint)

    def error(self, where: str, what: str, hint: str = "") -> HutchError:
        return HutchError("config_invalid", f"{self.source}: {where} {what}", hint)

    def _value(self, kind: Kind, value: object, where: str) -> object:
        try:
            return kind.read(value)
        except WrongValueError as error:
            raise self.error(where, str(error), _EVERY_KEY) from None


def meant(word: str, known: Iterable[str]) -> str:
    """The question whether another word was meant; empty: none of those known is near."""
    nearest = get_close_matches(word, tuple(known), 1, cutoff=0.5)
    return f"did you mean {nearest[0]!r}?" if nearest else ""


def _below(where: str, name: str) -> str:
    return f"{where}.{name}" if where else name
