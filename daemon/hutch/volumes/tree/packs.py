"""Blocks of content, and the packs that hold them. See docs/volume-format.md, "Packs"."""

import json
import secrets
import threading
from dataclasses import dataclass
from typing import NamedTuple

import zstandard
from blake3 import blake3

from hutch.volumes.failures import DamagedError
from hutch.volumes.names import Identity

SMALL_BYTES = 256 << 10  # a file up to here lies in a solid block
SOLID_BYTES = 512 << 10  # content of a solid block
PACK_BYTES = 16 << 20
INLINE_BYTES = 64 << 10  # stored blocks up to here lie in the entry itself
BLOCK_LIMIT = 1 << 20  # content of any block; bounds what a reader unpacks
CHUNKERS = {"fixed-256k": 256 << 10, "fixed-1m": 1 << 20}
_MAGIC = b"hutchpak"
_START = len(_MAGIC) + 1  # and the format's version
_LEVEL = 1  # of zstd: 300 MB/s a thread; level 3 saves 6 % for half the speed


class Block(NamedTuple):
    """Where a block lies in its object. Equal lengths: stored as it is."""

    offset: int
    stored: int
    length: int
    hash: str


@dataclass(frozen=True, slots=True)
class Pack:
    """An object that holds blocks. `key` is below its volume's folder; `volume` None: the volume itself."""

    number: int
    key: str
    size: int
    blocks: tuple[Block, ...]
    volume: Identity | None = None

    @property
    def entry(self) -> int | None:
        """The entry of this volume in which its blocks lie; None: they lie elsewhere."""
        folder, _, number = self.key.partition("/")
        return int(number) if self.volume is None and folder == "log" else None


class Packed(NamedTuple):
    """One block on its way into a pack."""

    hash: str
    length: int
    stored: bytes


class _Codecs(threading.local):
    """A compressor and its opposite for each thread: making one costs as much as a small block."""

    def __init__(self) -> None:
        self.packing = zstandard.ZstdCompressor(level=_LEVEL)
        self.unpacking = zstandard.ZstdDecompressor()


_codecs = _Codecs()


def digest(data: bytes | memoryview) -> str:
    """The format's hash of some bytes."""
    return blake3(data).hexdigest()


def pack_block(content: bytes, known_hash: str | None = None) -> Packed:
    """Compress one block. Meant for a thread: it releases the interpreter for almost all of its time."""
    stored = _codecs.packing.compress(content)
    if len(stored) >= len(content):
        stored = content
    return Packed(known_hash or digest(content), len(content), stored)


def unpack_block(block: Block, stored: bytes | memoryview, where: str) -> bytes:
    """The content of a block, proven by its hash (invariant 6). Raises DamagedError."""
    if len(stored) != block.stored or block.length > BLOCK_LIMIT:
        raise DamagedError(where, f"the block at {block.offset} is cut short")
    content = bytes(stored)
    if block.stored != block.length:
        try:
            content = _codecs.unpacking.decompress(content, max_output_size=block.length)
        except zstandard.ZstdError as error:
            raise DamagedError(where, f"the block at {block.offset} does not unpack") from error
    if digest(content) != block.hash:
        raise DamagedError(where, f"the block at {block.offset} does not have its hash")
    return content


class PackWriter:
    """Puts blocks one after another into packs, numbered from `number` on."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._blocks: list[Block] = []
        self._parts: list[bytes] = []
        self._size = _START

    @property
    def is_full(self) -> bool:
        return self._size >= PACK_BYTES

    @property
    def is_empty(self) -> bool:
        return not self._blocks

    def add(self, packed: Packed) -> tuple[int, int]:
        """Returns the pack's number and the block's place in it."""
        self._blocks.append(Block(self._size, len(packed.stored), packed.length, packed.hash))
        self._parts.append(packed.stored)
        self._size += len(packed.stored)
        return self._number, len(self._blocks) - 1

    def seal(self) -> tuple[Pack, bytes]:
        """The pack and its object; what is added next goes into another."""
        footer = zstandard.compress(
            json.dumps(
                # Random bits give every pack a name of its own: what garbage collection is about to delete is
                # never put again (invariant 9).
                {"codec": "zstd", "blocks": self._blocks, "nonce": secrets.token_hex(16)},
                separators=(",", ":"),
            ).encode()
        )
        data = b"".join((_MAGIC, b"\1", *self._parts, footer, len(footer).to_bytes(4, "little"), _MAGIC))
        pack = Pack(self._number, f"packs/{digest(data)}", len(data), tuple(self._blocks))
        self._begin(self._number + 1)
        return pack, data

    def seal_inline(self, key: str, start: int) -> tuple[Pack, bytes] | None:
        """The same for blocks inside the entry `key`, from byte `start` on; None: no blocks, or too large."""
        if not self._blocks or self._size - _START > INLINE_BYTES:
            return None
        blocks = tuple(block._replace(offset=block.offset - _START + start) for block in self._blocks)
        sealed = Pack(self._number, key, 0, blocks), b"".join(self._parts)
        self._begin(self._number + 1)
        return sealed

    def _begin(self, number: int) -> None:
        self._number, self._blocks, self._parts, self._size = number, [], [], _START


def read_footer(data: bytes, where: str) -> tuple[Block, ...]:
    """The blocks that a whole pack says it has. Raises DamagedError."""
    tail = len(data) - len(_MAGIC) - 4
    length = int.from_bytes(data[tail : tail + 4], "little")
    if data[:_START] != _MAGIC + b"\1" or data[tail + 4 :] != _MAGIC or not 0 < length <= tail - _START:
        raise DamagedError(where, "it is no pack of version 1")
    try:
        footer = json.loads(zstandard.ZstdDecompressor().decompress(data[tail - length : tail]))
        return tuple(Block(*block) for block in footer["blocks"])
    except (zstandard.ZstdError, ValueError, TypeError, KeyError) as error:
        raise DamagedError(where, "its footer cannot be read") from error
