"""Entries and checkpoints as bytes, and back. Nothing is believed unless its hash holds.

The layout is in docs/volume-format.md.
"""

import base64
import json
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import zstandard

from hutch.volumes.failures import DamagedError
from hutch.volumes.names import Identity
from hutch.volumes.nodes import SAME, File, Folder, Link, Node
from hutch.volumes.packs import Block, Pack, digest

ENTRY, CHECKPOINT, INDEX = b"hutchlog", b"hutchckp", b"hutchidx"  # an index never leaves its host
_VERSION = b"\1"
_HASH_AT = 9
_BODY_AT = _HASH_AT + 32
INLINE_AT = _BODY_AT + 4
_BATCH = 2000  # lines decoded at a time
_text = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, check_circular=False).encode

Header = dict[str, Any]
Line = tuple[int, bytes, Node | None]


class Opened(NamedTuple):
    """An object whose hash holds."""

    hash: str
    header: Header
    lines: list[bytes]


def sealed(magic: bytes, header: Header, lines: Iterable[str], inline: bytes = b"") -> tuple[bytes, str]:
    """The object and its hash."""
    frame = zstandard.ZstdCompressor(level=3).compress("\n".join([_text(header), *lines]).encode())
    body = b"".join((len(inline).to_bytes(4, "little"), inline, frame))
    name = digest(b"".join((magic, _VERSION, body)))
    return b"".join((magic, _VERSION, bytes.fromhex(name), body)), name


def opened(magic: bytes, data: bytes, where: str) -> Opened:
    """Raises DamagedError where any byte is not what was written."""
    if data[: len(magic)] != magic or len(data) < INLINE_AT:
        raise DamagedError(where, "it is not such an object")
    if data[len(magic) : _HASH_AT] != _VERSION:
        raise DamagedError(where, f"its format is version {data[len(magic)]}, this program knows 1")
    name = digest(b"".join((data[:_HASH_AT], data[_BODY_AT:])))
    if name != data[_HASH_AT:_BODY_AT].hex():
        raise DamagedError(where, "it does not have its hash")
    frame = data[INLINE_AT + int.from_bytes(data[_BODY_AT:INLINE_AT], "little") :]
    try:
        header, *lines = zstandard.ZstdDecompressor().decompress(frame).split(b"\n")
        return Opened(name, json.loads(header), lines)
    except (zstandard.ZstdError, ValueError) as error:
        raise DamagedError(where, "its content cannot be read") from error


# Nodes ------------------------------------------------------------


def node_line(depth: int, name: bytes, node: Node | None, *, stat: bool = False) -> str:
    """One node as a line; None: gone; SAME: only reached. `stat` adds what an index remembers."""
    line: Header = {"depth": depth, "name": byte_string(name)}
    if node is None:
        line["kind"] = "gone"
    elif node is SAME:
        line["kind"] = "same"
    elif isinstance(node, Link):
        line |= {"kind": "link", "mtime": node.mtime, "target": byte_string(node.target)}
    else:
        kind = "file" if isinstance(node, File) else "folder"
        line |= {"kind": kind, "mode": node.mode, "mtime": node.mtime}
        if isinstance(node, File):
            _describe_content(line, node)
        if node.xattrs:
            line["xattrs"] = [[byte_string(key), _base64(value)] for key, value in node.xattrs]
        if stat and node.stat is not None:
            line["stat"] = node.stat
    return _text(line)


def _describe_content(line: Header, node: File) -> None:
    line["size"] = node.size
    if node.at is not None:
        line["hash"], line["at"] = node.hash, node.at
    if node.chunker is not None:
        line["chunker"], line["blocks"] = node.chunker, node.blocks
    if node.data is not None:
        line["data"] = node.data
    if node.inode:
        line["inode"] = node.inode


def nodes_of(lines: list[bytes], where: str) -> Iterator[Line]:
    """Depth, name and node of each line; None: gone. Raises DamagedError."""
    try:
        for start in range(0, len(lines), _BATCH):
            batch = json.loads(b"[" + b",".join(lines[start : start + _BATCH]) + b"]")
            for line in batch:
                name = read_byte_string(line["name"])
                if not is_plain_name(name) and line["depth"] != 0:
                    raise DamagedError(where, f"it has a reserved name: {name[:80]!r}")  # invariant 13
                yield line["depth"], name, _node(line)
    except (ValueError, TypeError, KeyError) as error:
        raise DamagedError(where, "a node cannot be read") from error


def is_plain_name(name: bytes) -> bool:
    """Whether a name may stand in a folder."""
    return name not in (b"", b".", b"..") and b"/" not in name and b"\0" not in name and len(name) <= 255


def _node(line: Header) -> Node | None:
    kind = line["kind"]
    if kind == "file":
        return _file(line)
    if kind == "folder":
        return Folder(line["mode"], line["mtime"], _xattrs(line), {}, _tuple(line.get("stat")))
    if kind == "link":
        return Link(line["mtime"], read_byte_string(line["target"]))
    if kind == "same":
        return SAME
    if kind == "gone":
        return None
    raise ValueError(kind)


def _file(line: Header) -> File:
    get = line.get
    return File(
        line["mode"],
        line["mtime"],
        line["size"],
        get("hash"),
        _tuple(get("at")),
        tuple(map(tuple, get("blocks", ()))),
        get("chunker"),
        tuple(map(tuple, line["data"])) if "data" in line else None,
        get("inode", 0),
        _xattrs(line),
        _tuple(get("stat")),
    )


def _xattrs(line: Header) -> tuple[tuple[bytes, bytes], ...]:
    if "xattrs" not in line:
        return ()
    return tuple((read_byte_string(key), base64.b64decode(value)) for key, value in line["xattrs"])


def _tuple(value: Any) -> Any:  # noqa: ANN401 - JSON
    return None if value is None else tuple(value)


# Packs in a header --------------------------------------------------


def pack_record(pack: Pack) -> Header:
    """A pack as a header tells it."""
    record: Header = {
        "number": pack.number,
        "key": pack.key,
        "size": pack.size,
        "codec": "zstd",
        "blocks": pack.blocks,
    }
    return record if pack.volume is None else record | {"volume": pack.volume.path}


def read_packs(records: list[Header], where: str) -> list[Pack]:
    """Raises DamagedError."""
    packs = []
    for record in records:
        if record["codec"] != "zstd":
            raise DamagedError(where, f"it uses codec {record['codec']!r}, this program knows zstd")
        volume = Identity.parse(record["volume"]) if "volume" in record else None
        blocks = tuple(Block(*block) for block in record["blocks"])
        packs.append(Pack(record["number"], record["key"], record["size"], blocks, volume))
    return packs


# Small things -------------------------------------------------------


def byte_string(data: bytes) -> str | dict[str, str]:
    """Text where it is valid UTF-8, else base64 in a dict."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return {"b64": _base64(data)}


def read_byte_string(value: Any) -> bytes:  # noqa: ANN401 - JSON
    """Raises ValueError, TypeError, KeyError."""
    if isinstance(value, str):
        return value.encode()
    return base64.b64decode(value["b64"], validate=True)


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
