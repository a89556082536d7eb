"""Reads one answer's usage as its bytes pass by."""

from typing import Any

from hutch.egress.meter.forms import said_in
from hutch.egress.meter.pieces import Events, Objects
from hutch.egress.meter.used import Used

_DONE = b"[DONE]"  # how OpenAI's chat completions end


class Reader:
    """Fed with all of a body; holds at most one of its objects."""

    def __init__(self) -> None:
        self._pieces: Events | Objects | None = None
        self._model = ""
        self._said: dict[str, Any] = {}
        self._is_final = False

    def feed(self, chunk: bytes) -> None:
        if self._pieces is None:
            start = chunk.lstrip(b"\xef\xbb\xbf \t\r\n")
            if not start:
                return
            self._pieces = Objects() if start[:1] in b"{[" else Events()
            chunk = start
        for data in self._pieces.feed(chunk):
            self._take(data)

    def finish(self, *, is_whole: bool) -> Used | None:
        """Return what was used; `is_whole`: the body came to its end."""
        if self._pieces is None:
            return None
        for data in self._pieces.finish():
            self._take(data)
        if not self._said and not self._model:
            return None
        has_all = self._is_final or (is_whole and not self._pieces.has_dropped)
        return Used(self._model, **self._said, is_complete=bool(self._said) and has_all)

    def _take(self, data: bytes) -> None:
        if data == _DONE:
            self._is_final = bool(self._said)
        elif not self._model or b'"usage' in data:  # a stream's many pieces of text are not even parsed
            said = said_in(data)
            self._model = said.model or self._model
            self._said |= said.counts  # every event tells the sum so far, some of them not of all
            self._is_final = self._is_final or said.is_final
