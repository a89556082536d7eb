"""Shows a log of any size within a budget of characters: by its ends, by a page, or by what it matches.

Positions are byte offsets into the log as it is stored, and a piece stands for exactly the bytes between its
two. A log is read through a window, never as a whole.
"""

from base64 import b64decode
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass
from typing import Protocol

from hutch_mcp_tools.run_records import LogChunk, LogRequest, Stream
from hutch_mcp_tools.text import harmless, quoted, whole_characters

LINE_BYTES = 2000  # of one line, in an answer: a minified file is one line of megabytes
COUNTED_BYTES = 8 << 20  # up to here the lines left out are counted too; that needs all of them to be read
SEARCHED_BYTES = 64 << 20  # in one call
_WINDOW_SPARE = 4096
_OFFSET_CHARS = 24  # what a hit has besides its text
_OVERHEAD = 2  # a line is shown with its newline and, at times, a backslash
_SCAN_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a log as it is shown: harmless lines, each ended by a newline."""

    text: str
    lines: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Excerpt:
    """A log from its two ends. `head.end == tail.start` where nothing is left out."""

    head: Piece
    tail: Piece
    size: int
    lines: int | None  # in all; None: too much was left out to count them

    @property
    def bytes_left_out(self) -> int:
        return self.tail.start - self.head.end


class Logs(Protocol):
    """What is needed of a service here."""

    async def read_log(self, request: LogRequest) -> LogChunk: ...


class Log:
    """One stream of one run."""

    def __init__(self, service: Logs, run_id: str, stream: Stream) -> None:
        self._service = service
        self._run_id = run_id
        self._stream = stream
        self.size = 0  # as of the newest read

    async def read(self, start: int, length: int) -> bytes:
        """`length` bytes from `start`, fewer only where the log ends."""
        parts: list[bytes] = []
        while length > 0:
            request = LogRequest(
                run_id=self._run_id, stream=self._stream, start=start, limit=min(length, 4 << 20)
            )
            chunk = await self._service.read_log(request)
            data = b64decode(chunk.data_base64)
            self.size = chunk.end
            if not data:
                break
            parts.append(data)
            start += len(data)
            length -= len(data)
        return b"".join(parts)

    async def excerpt(self, budget: int) -> Excerpt:
        """The whole, or else a quarter of the budget from the front and the rest from the end."""
        window = 4 * budget + _WINDOW_SPARE  # escapes and redrawn lines take bytes without being shown
        data = await self.read(0, window)
        size = self.size  # a log may grow meanwhile
        whole = first_lines(data, 0, budget, is_all=len(data) == size)
        if whole.end == size:
            return Excerpt(whole, Piece("", 0, size, size), size, whole.lines)
        head = first_lines(data, 0, budget // 4, is_all=len(data) == size)
        start = max(head.end, size - window)
        tail_data = await self.read(start, size - start)
        tail = last_lines(tail_data, start, budget - len(head.text), is_all=start == head.end)
        if tail.start - head.end > COUNTED_BYTES:
            return Excerpt(head, tail, size, None)
        ends = data[: head.end].count(b"\n") + tail_data[tail.start - start :].count(b"\n")
        ends += await self._count_line_ends(head.end, tail.start)
        return Excerpt(head, tail, size, ends + (tail_data[-1:] != b"\n"))

    async def page(self, start: int, budget: int) -> Piece:
        """As much as the budget holds, from `start` on. Nothing is left out between one page and the next."""
        data = await self.read(start, 4 * budget + _WINDOW_SPARE)
        is_all = start + len(data) >= self.size
        return first_lines(data, start, budget, is_all=is_all, line_bytes=budget)

    async def search(self, words: str, start: int, budget: int) -> Piece:
        """The lines with any of the words between `|`, each behind its offset and `: `; a-z is A-Z too.

        Plain words and no pattern language: a pattern can be made to run for ever.
        """
        wanted = [word.encode() for word in words.lower().replace("\n", "|").split("|") if word]
        room = min(LINE_BYTES, budget - _OFFSET_CHARS)
        hits: list[str] = []
        reached = start
        async for at, block in self._blocks(start):
            for begin, end, place in _matching(block, wanted):
                hit = f"{at + begin}: {_around(block[begin:end], place - begin, room)}\n"
                if len(hit) > budget:
                    return Piece("".join(hits), len(hits), start, at + begin)
                hits.append(hit)
                budget -= len(hit)
            reached = at + len(block)
            if reached - start >= SEARCHED_BYTES:
                break
        return Piece("".join(hits), len(hits), start, reached)

    async def _blocks(self, start: int) -> AsyncGenerator[tuple[int, bytes]]:
        """Whole lines by the block, each with its offset; a line longer than a block comes in parts."""
        rest = b""
        while data := await self.read(start + len(rest), _SCAN_CHUNK):
            data = rest + data
            cut = data.rfind(b"\n") + 1 or len(data)
            yield start, data[:cut]
            start, rest = start + cut, data[cut:]
        if rest:
            yield start, rest

    async def _count_line_ends(self, start: int, end: int) -> int:
        count = 0
        while start < end and (data := await self.read(start, min(_SCAN_CHUNK, end - start))):
            count += data.count(b"\n")
            start += len(data)
        return count


def first_lines(data: bytes, start: int, budget: int, *, is_all: bool, line_bytes: int = LINE_BYTES) -> Piece:
    """The first lines that fit into `budget` characters; of a first line that is too long, its beginning.

    `is_all`: the log ends where `data` does, so that a last line without a newline is a whole one.
    """
    shown: list[str] = []
    at = 0
    while at < len(data):
        newline = data.find(b"\n", at)
        if newline < 0 and not is_all:
            break
        line = data[at : newline if newline >= 0 else len(data)]
        text = shown_line(line, start + at, line_bytes)
        if len(text) > budget:
            break
        budget -= len(text)
        shown.append(text)
        at += len(line) + (newline >= 0)
    if data and not shown and budget > _OVERHEAD:
        cut = data.partition(b"\n")[0][: min(budget - _OVERHEAD, line_bytes)]
        at = whole_characters(cut) or len(cut)
        shown.append(shown_line(cut[:at], start, line_bytes))
    return Piece("".join(shown), len(shown), start, start + at)


def last_lines(data: bytes, start: int, budget: int, *, is_all: bool) -> Piece:
    """The last lines that fit into `budget` characters; of a last line that is too long, its end.

    `data` reaches to the end of the log. `is_all`: nothing stands before it, so that its first line is whole.
    """
    shown: list[str] = []
    at = end = len(data)
    while at > 0:
        line_end = at - (data[at - 1 : at] == b"\n")
        begin = data.rfind(b"\n", 0, line_end) + 1
        if begin == 0 and not is_all:
            break
        text = shown_line(data[begin:line_end], start + begin)
        if len(text) > budget:
            break
        budget -= len(text)
        shown.append(text)
        at = begin
    if data and not shown and budget > _OVERHEAD:
        line = data.removesuffix(b"\n").rpartition(b"\n")[2]
        cut = line[-min(budget - _OVERHEAD, LINE_BYTES) :]
        at = end - (len(data) - len(data.removesuffix(b"\n"))) - len(cut)
        shown.append(shown_line(cut, start + at))
    return Piece("".join(reversed(shown)), len(shown), start + at, start + end)


def shown_line(line: bytes, at: int, line_bytes: int = LINE_BYTES) -> str:
    """A line as a terminal would have left it, cut, harmless, ended by a newline; `at`: its offset."""
    drawn = line.rstrip(b"\r")
    drawn = drawn[drawn.rfind(b"\r") + 1 :]  # a progress bar stands as it was drawn last
    notice = ""
    if len(drawn) > line_bytes:
        kept = whole_characters(drawn[:line_bytes])
        rest = at + len(line.rstrip(b"\r")) - len(drawn) + kept
        notice = f" […{len(drawn) - kept} bytes of this line left out, cursor={rest}]"
        drawn = drawn[:kept]
    return quoted(harmless(drawn.decode("utf-8", "replace"))) + notice + "\n"


def _matching(block: bytes, wanted: list[bytes]) -> Iterator[tuple[int, int, int]]:
    """The lines that hold one of the words: where each begins, where it ends, where its first word stands."""
    lower = block.lower()
    at = 0
    places = {word: lower.find(word) for word in wanted}
    while found := [place for place in places.values() if place >= 0]:
        place = min(found)
        begin = block.rfind(b"\n", 0, place) + 1
        end = block.find(b"\n", place)
        end = end if end >= 0 else len(block)
        yield begin, end, place
        at = end
        places = {word: old if old < 0 or old > at else lower.find(word, at) for word, old in places.items()}


def _around(line: bytes, place: int, room: int) -> str:
    """The line, or of a long one the part around this place."""
    begin = max(0, place - room // 4) if len(line) > room else 0
    cut = line[begin : begin + room]
    before, after = "…" if begin else "", "…" if begin + len(cut) < len(line) else ""
    return f"{before}{harmless(cut.decode('utf-8', 'replace'))}{after}".replace("\n", " ")
