"""Small objects of a store: a line of JSON, and its hash on a second line."""

import json
from typing import Any

from hutch.volumes.failures import DamagedError
from hutch.volumes.tree.packs import digest


def sealed_line(fields: dict[str, Any]) -> bytes:
    """The object; the format's version comes with it."""
    line = json.dumps({"format": 1} | fields).encode()
    return b"%s\n%s\n" % (line, digest(line).encode())


def opened_line(data: bytes, where: str) -> dict[str, Any]:
    """What the object tells. Raises DamagedError where any byte is not what was written."""
    line, _, rest = data.partition(b"\n")
    if rest != digest(line).encode() + b"\n":
        raise DamagedError(where, "it does not have its hash")
    try:
        fields = json.loads(line)
        if fields["format"] != 1:
            raise DamagedError(where, f"its format is version {fields['format']}, this program knows 1")
    except (ValueError, TypeError, KeyError) as error:
        raise DamagedError(where, "it cannot be read") from error
    return dict(fields)
