"""The nodes of a tree as lines of JSON, and back. The fields are in docs/volume-format.md."""

import base64
from collections.abc import Iterable, Iterator
from typing import Any, Literal

import msgspec
import zstandard

from hutch.volumes.failures import DamagedError
from hutch.volumes.tree.nodes import SAME, File, Folder, Link, Node, Stat, Xattrs

Line = tuple[int, bytes, Node | None]
ByteString = str | dict[str, str]


class _Line(msgspec.Struct, omit_defaults=True, gc=False):
    """A line. What is None or empty is not there."""

    depth: int
    name: ByteString
    kind: Literal["file", "folder", "link", "same", "gone"]
    mode: int | None = None
    mtime: int | None = None
    target: ByteString | None = None
    size: int | None = None
    hash: str | None = None
    at: tuple[int, int, int] | None = None
    chunker: str | None = None
    blocks: tuple[tuple[int, int, int], ...] | None = None
    data: tuple[tuple[int, int], ...] | None = None
    inode: int = 0
    xattrs: tuple[tuple[ByteString, str], ...] = ()
    stat: Stat | None = None  # in an index only


_MOST_MODE = 0o7777
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_Line).decode_lines


def node_line(depth: int, name: bytes, node: Node | None, *, stat: bool = False) -> bytes:
    """One node as a line; None: gone; SAME: only reached. `stat` adds what an index remembers."""
    line = _Line(depth, byte_string(name), "gone" if node is None else "same")
    if isinstance(node, Link):
        line.kind, line.mtime, line.target = "link", node.mtime, byte_string(node.target)
    elif node is not None and node is not SAME:
        line.mode, line.mtime = node.mode, node.mtime
        if node.xattrs:
            line.xattrs = tuple((byte_string(key), _base64(value)) for key, value in node.xattrs)
        if stat:
            line.stat = node.stat
        if isinstance(node, File):
            line.kind = "file"
            _describe_content(line, node)
        else:
            line.kind = "folder"
    return _encode(line)


def _describe_content(line: _Line, node: File) -> None:
    line.size, line.data, line.inode = node.size, node.data, node.inode
    if node.at is not None:
        line.hash, line.at = node.hash, node.at
    if node.chunker is not None:
        line.chunker, line.blocks = node.chunker, node.blocks


def nodes_of(lines: Iterable[bytes], where: str) -> Iterator[Line]:
    """Depth, name and node of each line; None: gone. Each of `lines` is one or more. Raises DamagedError."""
    modes: dict[int, int] = {}
    try:
        for some in lines:
            for line in _decode(some):
                name = line.name.encode() if type(line.name) is str else read_byte_string(line.name)
                if not is_plain_name(name) and line.depth != 0:
                    raise DamagedError(where, f"it has a reserved name: {name[:80]!r}")  # invariant 13
                yield line.depth, name, _node(line, modes)
    except (ValueError, TypeError, KeyError, zstandard.ZstdError) as error:
        raise DamagedError(where, "a node cannot be read") from error


def is_plain_name(name: bytes) -> bool:
    """Whether a name may stand in a folder."""
    return name not in (b"", b".", b"..") and b"/" not in name and b"\0" not in name and len(name) <= 255


def _node(line: _Line, modes: dict[int, int]) -> Node | None:
    if line.kind == "same":
        return SAME
    if line.kind == "gone":
        return None
    if line.mtime is None:
        raise ValueError("no mtime")
    if line.kind == "link":
        return Link(line.mtime, _target(line))
    if line.mode is None or not 0 <= line.mode <= _MOST_MODE:
        raise ValueError("no mode")
    mode = modes.setdefault(line.mode, line.mode)
    xattrs = _read_xattrs(line) if line.xattrs else ()
    if line.kind == "folder":
        return Folder(mode, line.mtime, xattrs, {}, line.stat)
    if line.size is None or line.size < 0:
        raise ValueError("no size")
    return File(
        mode,
        line.mtime,
        line.size,
        line.hash,
        line.at,
        line.blocks or (),
        line.chunker,
        line.data,
        line.inode,
        xattrs,
        line.stat,
    )


def _target(line: _Line) -> bytes:
    target = read_byte_string(line.target)
    if not target or b"\0" in target:
        raise ValueError("no target")
    return target


def _read_xattrs(line: _Line) -> Xattrs:
    return tuple((read_byte_string(key), base64.b64decode(value)) for key, value in line.xattrs)


def byte_string(data: bytes) -> ByteString:
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
