"""Bytes as people read and write them."""

import re

_UNITS = ("B", "KiB", "MiB", "GiB")
_POWER = {"K": 1, "M": 2, "G": 3, "T": 4}
_SIZE = re.compile(r"(\d+(?:\.\d+)?) ?(?:([KMGT])(iB?|B)?|B)", re.ASCII | re.IGNORECASE)


def size(count: float) -> str:
    """In the largest unit of which there is one: `8 MiB`, `1.5 GiB`."""
    for unit in _UNITS:
        if count < 1024:
            return _figure(count, unit)
        count /= 1024
    return _figure(count, "TiB")


def parse_size(text: str) -> int | None:
    """Bytes of `64M` and `64MiB` (powers of 1024), `64MB` (of 1000) or `100B`; None: not a size."""
    found = _SIZE.fullmatch(text.strip())
    if not found:
        return None
    number, unit, rest = found.groups()
    base = 1000 if rest in ("B", "b") else 1024
    return int(float(number) * (base ** _POWER[unit.upper()] if unit else 1))


def _figure(amount: float, unit: str) -> str:
    return f"{f'{amount:.1f}'.removesuffix('.0')} {unit}"
