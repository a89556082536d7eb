"""The JSON objects of an answer's body: each event of a stream, each object of a list, or the one that it is.

Bytes come in any pieces. What is held is bounded: an object larger than `MAX_OBJECT` is left out.
"""

import re
from collections.abc import Iterator

MAX_OBJECT = 32 << 20  # bytes; the last event of OpenAI's responses repeats all the text of an answer

_LINE_END = re.compile(rb"\r\n|\n|\r")
_OUTSIDE = re.compile(rb'["{}]')
_INSIDE = re.compile(rb'["\\]')


class Held:
    """A buffer that gives up when it would grow too large."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._is_full = False
        self.has_dropped = False

    def add(self, piece: bytes) -> None:
        if self._is_full or len(self._data) + len(piece) > MAX_OBJECT:
            self._is_full = self.has_dropped = True
            self._data.clear()
        else:
            self._data += piece

    def take(self) -> bytes:
        """Return what is held and begin anew; empty where it was too much."""
        data = bytes(self._data)
        self._data.clear()
        self._is_full = False
        return data


class Events:
    """The data of server-sent events (WHATWG HTML, 9.2.6); their other fields are passed over."""

    def __init__(self) -> None:
        self._line = Held()
        self._data = Held()
        self._ended_in_cr = False

    @property
    def has_dropped(self) -> bool:
        return self._line.has_dropped or self._data.has_dropped

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        if self._ended_in_cr and chunk:  # the second half of a line's end
            chunk = chunk.removeprefix(b"\n")
            self._ended_in_cr = False
        self._ended_in_cr = self._ended_in_cr or chunk.endswith(b"\r")
        *lines, rest = _LINE_END.split(chunk)
        for line in lines:
            self._line.add(line)
            yield from self._take(self._line.take())
        self._line.add(rest)

    def finish(self) -> Iterator[bytes]:
        """Yield an event that lacks the empty line behind it: a server may save that at the end."""
        yield from self._take(self._line.take())
        yield from self._take(b"")

    def _take(self, line: bytes) -> Iterator[bytes]:
        name, _, value = line.partition(b":")
        if not line:
            if data := self._data.take():
                yield data[:-1]
        elif name == b"data":
            self._data.add(value.removeprefix(b" ") + b"\n")


class Objects:
    """The outermost `{…}` of a JSON text, or of several behind each other."""

    def __init__(self) -> None:
        self._object = Held()
        self._depth = 0
        self._is_in_string = False
        self._is_escaped = False

    @property
    def has_dropped(self) -> bool:
        return self._object.has_dropped

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        begin = at = 0
        while at < len(chunk):
            if self._is_escaped:
                self._is_escaped = False
                at += 1
                continue
            mark = (_INSIDE if self._is_in_string else _OUTSIDE).search(chunk, at)
            if mark is None:
                break
            at = mark.end()
            if self._turn(mark[0]):
                self._object.add(chunk[begin:at])
                yield self._object.take()
            if self._depth == 0:
                begin = at
            elif self._depth == 1 and mark[0] == b"{":
                begin = mark.start()
        if self._depth:
            self._object.add(chunk[begin:])

    def finish(self) -> Iterator[bytes]:
        """Nothing is left: an object without its end is none."""
        return iter(())

    def _turn(self, mark: bytes) -> bool:
        """Take note of a byte that means something here; whether it ends an outermost object."""
        if mark == b"\\":
            self._is_escaped = True
        elif mark == b'"':
            self._is_in_string = self._depth > 0 and not self._is_in_string
        elif mark == b"{":
            self._depth += 1
        elif self._depth:
            self._depth -= 1
            return self._depth == 0
        return False
