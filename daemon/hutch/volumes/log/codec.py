"""Entries and checkpoints as bytes, and back. Nothing is believed unless its hash holds.

The layout is in docs/volume-format.md.
"""

import json
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import Any, NamedTuple

import zstandard
from blake3 import blake3

from hutch.errors import HutchError
from hutch.volumes.failures import DamagedError
from hutch.volumes.names import Identity
from hutch.volumes.tree.packs import Block, Pack

ENTRY, CHECKPOINT, INDEX = b"hutchlog", b"hutchckp", b"hutchidx"  # an index never leaves its host
_VERSION = b"\1"
_HASH_AT = 9
_BODY_AT = _HASH_AT + 32
INLINE_AT = _BODY_AT + 4
_BATCH = 4000  # lines packed at a time
_CHUNK = 1 << 19  # bytes unpacked at a time
_text = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, check_circular=False).encode

Header = dict[str, Any]


class Lines:
    """The lines after an object's header, unpacked anew each time, some at once."""

    def __init__(self, frame: bytes, header: bytes, *, is_empty: bool) -> None:
        self._frame = frame
        self._header = header
        self._is_empty = is_empty

    def __bool__(self) -> bool:
        return not self._is_empty

    def __iter__(self) -> Iterator[bytes]:
        """Whole lines, as many as come together. Raises ZstdError."""
        for number, chunk in enumerate(_unpacked(self._frame)):
            lines = chunk[len(self._header) + 1 :] if number == 0 else chunk
            if lines:
                yield lines


class Opened(NamedTuple):
    """An object whose hash holds."""

    hash: str
    header: Header
    lines: Lines


def sealed(magic: bytes, header: Header, lines: Iterable[bytes], inline: bytes = b"") -> tuple[bytes, str]:
    """The object and its hash."""
    start = b"".join((magic, _VERSION))
    body = [len(inline).to_bytes(4, "little"), inline, *_packed(chain((_text(header).encode(),), lines))]
    hasher = blake3(start)
    for part in body:
        hasher.update(part)
    return b"".join((start, hasher.digest(), *body)), hasher.hexdigest()


def _packed(lines: Iterator[bytes]) -> list[bytes]:
    """One frame. The text of a large tree is never there as a whole, so its frame tells no length."""
    compressor = zstandard.ZstdCompressor(level=3)
    text = b"\n".join(islice(lines, _BATCH))
    batch = b"\n".join(islice(lines, _BATCH))
    if not batch:
        return [compressor.compress(text)]
    stream = compressor.compressobj()
    parts = [stream.compress(text)]
    while batch:
        parts += stream.compress(b"\n"), stream.compress(batch)
        batch = b"\n".join(islice(lines, _BATCH))
    return [*parts, stream.flush()]


def _unpacked(frame: bytes) -> Iterator[bytes]:
    """Whole lines, as many as come together; the last end of line of each chunk is left out."""
    rest = b""
    with zstandard.ZstdDecompressor().stream_reader(frame) as stream:
        while data := stream.read(_CHUNK):
            lines, end, after = data.rpartition(b"\n")
            if end:
                yield rest + lines
                rest = after
            else:
                rest += data
    if rest:
        yield rest


def opened(magic: bytes, data: bytes, where: str) -> Opened:
    """Raises DamagedError where any byte is not what was written."""
    if data[: len(magic)] != magic or len(data) < INLINE_AT:
        raise DamagedError(where, "it is not such an object")
    if data[len(magic) : _HASH_AT] != _VERSION:
        raise DamagedError(where, f"its format is version {data[len(magic)]}, this program knows 1")
    view = memoryview(data)
    name = blake3(view[:_HASH_AT]).update(view[_BODY_AT:])
    if name.digest() != data[_HASH_AT:_BODY_AT]:
        raise DamagedError(where, "it does not have its hash")
    frame = data[INLINE_AT + int.from_bytes(data[_BODY_AT:INLINE_AT], "little") :]
    try:
        chunks = _unpacked(frame)
        header, _, lines = next(chunks, b"").partition(b"\n")
        is_empty = not lines and next(chunks, None) is None
        return Opened(name.hexdigest(), json.loads(header), Lines(frame, header, is_empty=is_empty))
    except (zstandard.ZstdError, ValueError) as error:
        raise DamagedError(where, "its content cannot be read") from error


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
        try:
            volume = Identity.parse(record["volume"]) if "volume" in record else None
        except (HutchError, AttributeError) as error:
            raise DamagedError(where, "a pack of it is in no volume that can be") from error
        blocks = tuple(Block(*block) for block in record["blocks"])
        packs.append(Pack(record["number"], record["key"], record["size"], blocks, volume))
    return packs
