"""Extended attributes in a tar archive's records: as GNU tar writes them, or as libarchive does.

GNU tar's record has the name as it is, so only a name that is text without "=" can stand there. libarchive's
has it URL-encoded, and the value in base64.
"""

import os
from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping
from urllib.parse import quote_from_bytes, unquote_to_bytes

_GNU, _LIBARCHIVE = "SCHILY.xattr.", "LIBARCHIVE.xattr."
_KEPT = b"user."


def xattr_record(name: str, value: bytes) -> tuple[str, str]:
    """The record of an attribute, whose name is as the system told it."""
    raw = os.fsencode(name)
    if b"=" in raw or raw.decode(errors="replace") != name:
        return _LIBARCHIVE + quote_from_bytes(raw, safe=""), b64encode(value).decode()
    return _GNU + name, value.decode(errors="surrogateescape")


def xattrs_in(records: Mapping[str, str]) -> Iterator[tuple[bytes, bytes]]:
    """The attributes that a volume keeps. Raises ValueError for one that cannot be read."""
    for key, text in records.items():
        if key.startswith(_GNU):
            name, value = key.removeprefix(_GNU).encode(), text.encode(errors="surrogateescape")
        elif key.startswith(_LIBARCHIVE):
            name = unquote_to_bytes(key.removeprefix(_LIBARCHIVE))
            value = b64decode(text + "=" * (-len(text) % 4), validate=True)  # it leaves padding out
        else:
            continue
        if name.startswith(_KEPT):
            yield name, value
