"""Reads one answer's usage as its bytes pass by."""

import re
from typing import Any

from hutch.egress.meter.forms import said_in
from hutch.egress.meter.pieces import Events, Objects
from hutch.egress.meter.used import Used

_DONE = b"[DONE]"  # how OpenAI's chat completions end
# What a model writes, in the events of a stream; those of OpenAI that end a part say all of it again
_TEXT = re.compile(
    rb'"(?:text|content|thinking|reasoning\w*|delta|partial_json|arguments)"\s*:\s*'
    rb'"([^"\\]*(?:\\.[^"\\]*)*)"',
    re.DOTALL,
)
_AGAIN = b'.done"'
_TYPE = 80  # bytes, in which an event says its type


class Reader:
    """Fed with all of a body; holds at most one of its objects."""

    def __init__(self) -> None:
        self._pieces: Events | Objects | None = None
        self._model = ""
        self._said: dict[str, Any] = {}
        self._is_final = False
        self.text_bytes = 0  # of what a model wrote, about: where the answer does not say how much it was

    def feed(self, chunk: bytes) -> None:
        if self._pieces is None:
            start = chunk.lstrip(b"\xef\xbb\xbf \t\r\n")
            if not start:
                return
            self._pieces = Objects() if start[:1] in b"{[" else Events()
            chunk = start
        if isinstance(self._pieces, Objects):
            self.text_bytes += len(chunk)
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
        if isinstance(self._pieces, Events) and _AGAIN not in data[:_TYPE]:
            self.text_bytes += sum(len(text) for text in _TEXT.findall(data))
        if data == _DONE:
            self._is_final = bool(self._said)
        elif not self._model or b'"usage' in data:  # a stream's many pieces of text are not even parsed
            said = said_in(data)
            self._model = said.model or self._model
            self._said |= said.counts  # every event tells the sum so far, some of them not of all
            self._is_final = self._is_final or said.is_final
