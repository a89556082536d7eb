"""Reads blocks from packs: neighbours by one request, each proven by its hash."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from anyio import to_thread

from hutch.volumes.failures import DamagedError, NotFoundError
from hutch.volumes.log.state import State
from hutch.volumes.stores.protocol import ObjectStore
from hutch.volumes.tree.nodes import File, refs_of
from hutch.volumes.tree.packs import Block, unpack_block

_SPAN_BYTES = 4 << 20  # of one request
_GAP_BYTES = 128 << 10  # read and thrown away rather than asking twice

Ref = tuple[int, int]  # pack, block


class Span(NamedTuple):
    """Blocks that lie near each other in one object."""

    key: str
    start: int
    end: int
    blocks: list[tuple[Ref, Block]]


def spans(state: State, refs: Iterable[Ref]) -> Iterator[Span]:
    """The requests that bring some blocks, in the order of packs. Raises DamagedError."""
    current: Span | None = None
    for ref in sorted(set(refs)):
        key, block = block_of(state, ref)
        end = block.offset + block.stored
        if current and key == current.key and _is_near(current, block):
            current.blocks.append((ref, block))
            current = current._replace(end=end)
            continue
        if current:
            yield current
        current = Span(key, block.offset, end, [(ref, block)])
    if current:
        yield current


def block_of(state: State, ref: Ref) -> tuple[str, Block]:
    """The object's key, and where in it the block lies. Raises DamagedError."""
    pack = state.pack(ref[0])
    if not 0 <= ref[1] < len(pack.blocks):
        raise DamagedError(f"volume '{state.name}'", f"pack {ref[0]} has no block {ref[1]}")
    return (pack.volume or state.identity).key(pack.key), pack.blocks[ref[1]]


def _is_near(span: Span, block: Block) -> bool:
    return (
        0 <= block.offset - span.end <= _GAP_BYTES and block.offset + block.stored - span.start <= _SPAN_BYTES
    )


def unpacked(span: Span, data: bytes) -> Iterator[tuple[Ref, bytes]]:
    """The content of a span's blocks. Raises DamagedError."""
    view = memoryview(data)
    for ref, block in span.blocks:
        start = block.offset - span.start
        yield ref, unpack_block(block, view[start : start + block.stored], f"object {span.key!r}")


def _all_unpacked(span: Span, data: bytes) -> list[tuple[Ref, bytes]]:
    return list(unpacked(span, data))


async def fetched(store: ObjectStore, span: Span) -> bytes:
    """A span's bytes. Raises DamagedError where the object is missing: something kept names it."""
    try:
        data, _ = await store.get(span.key, start=span.start, end=span.end)
    except NotFoundError as error:
        raise DamagedError(f"object {span.key!r}", "it is missing") from error
    return data


def layout(state: State, node: File) -> Iterator[tuple[Ref, int, int]]:
    """Of a large file: each block, where in the file it belongs, and its length. Raises DamagedError."""
    extents = iter(((0, node.size),) if node.data is None else node.data)
    position = end = 0
    for ref in refs_of(node.blocks):
        if position == end:
            start, length = next(extents, (0, 0))
            position, end = start, start + length
        length = block_of(state, ref)[1].length
        if position + length > min(end, node.size):
            raise DamagedError(f"volume '{state.name}'", "a file has more content than its size")
        yield ref, position, length
        position += length
    if position != end or next(extents, None) is not None:
        raise DamagedError(f"volume '{state.name}'", "a file has less content than its size")


async def read_range(store: ObjectStore, state: State, node: File, offset: int, limit: int) -> bytes:
    """Bytes of a file. Raises DamagedError, StoreError."""
    end = min(node.size, offset + limit)
    if offset >= end:
        return b""
    if node.at is not None:
        pack, index, start = node.at
        pieces = {(pack, index): [(start, offset, end)]}
        whole = await _pieces(store, state, pieces)
        if len(whole[0][1]) != end - offset:
            raise DamagedError(f"volume '{state.name}'", "a file has less content than its size")
        return whole[0][1]
    result = bytearray(end - offset)
    wanted: dict[Ref, list[tuple[int, int, int]]] = {}
    for ref, position, length in layout(state, node):
        if position < end and position + length > offset:
            wanted.setdefault(ref, []).append((-position, offset, end))
    for position, data in await _pieces(store, state, wanted):
        result[position - offset : position - offset + len(data)] = data
    return bytes(result)


async def _pieces(
    store: ObjectStore, state: State, wanted: dict[Ref, list[tuple[int, int, int]]]
) -> list[tuple[int, bytes]]:
    """For each (shift, start, end) of a block: where its part of [start, end) begins, and that part."""
    found = []
    for span in spans(state, wanted):
        data = await fetched(store, span)
        for ref, content in await to_thread.run_sync(_all_unpacked, span, data):
            for shift, start, end in wanted[ref]:
                low, high = max(0, start + shift), min(len(content), end + shift)
                found.append((low - shift, content[low:high]))
    return found
