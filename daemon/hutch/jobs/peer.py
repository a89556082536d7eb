"""Two processes of one user that ask each other: lines of JSON over a unix socket that nobody else opens.

{"ask": NAME, "id": N, "with": {…}} is answered by {"id": N, "answer": …} or {"id": N, "error": {…}};
{"tell": NAME, "with": {…}} is not.
"""

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import anyio
from anyio.abc import ByteStream, TaskGroup
from anyio.streams.buffered import BufferedByteReceiveStream

from hutch.errors import HutchError

_LINE_BYTES = 1 << 20
GONE = "runner_gone"  # the code of what was asked in vain

Answer = Callable[..., Awaitable[object]]


@dataclass(slots=True)
class _Question:
    is_answered: anyio.Event = field(default_factory=anyio.Event)
    answer: Any = None
    error: HutchError | None = None


@dataclass(slots=True)
class Peer:
    """One side of a connection, which belongs to it."""

    stream: ByteStream
    answers: dict[str, Answer]  # what the other side may ask, by name
    heard: Callable[..., None] = lambda **_: None  # what it tells
    _asked: dict[int, _Question] = field(default_factory=dict)  # by their ids
    _last: int = 0  # id of a question
    _sending: anyio.Lock = field(default_factory=anyio.Lock)
    _is_gone: bool = False

    async def serve(self) -> None:
        """Answer and be answered until the other side has gone."""
        lines = BufferedByteReceiveStream(self.stream)
        try:
            async with anyio.create_task_group() as group:
                while True:
                    line = await lines.receive_until(b"\n", _LINE_BYTES)
                    self._take(json.loads(line), group)
        except* (
            anyio.EndOfStream,
            anyio.IncompleteRead,
            anyio.DelimiterNotFound,  # a line over the bound, by which nobody is ended
            anyio.BrokenResourceError,
            anyio.ClosedResourceError,
        ):
            pass
        finally:
            self._is_gone = True
            for question in self._asked.values():
                question.error = _gone()
                question.is_answered.set()
            with anyio.CancelScope(shield=True):
                await self.stream.aclose()

    async def ask(self, name: str, **values: object) -> Any:  # noqa: ANN401 - what JSON can hold
        """Ask, and return the answer. Raises what the other side raises, and HutchError `runner_gone`."""
        if self._is_gone:
            raise _gone()
        self._last += 1
        number, question = self._last, _Question()
        self._asked[number] = question
        try:
            await self._send({"ask": name, "id": number, "with": values})
            await question.is_answered.wait()
        finally:
            del self._asked[number]
        if question.error is not None:
            raise question.error
        return question.answer

    async def tell(self, name: str, **values: object) -> None:
        """Say something that needs no answer; nothing is raised where nobody is there."""
        try:
            await self._send({"tell": name, "with": values})
        except HutchError:
            return

    def _take(self, message: dict[str, Any], group: TaskGroup) -> None:
        if "ask" in message:
            group.start_soon(self._answer, message)
        elif "tell" in message:
            self.heard(**message["with"])
        elif (question := self._asked.get(message["id"])) is not None:
            error = message.get("error")
            question.error = HutchError(error["code"], error["message"], error["hint"]) if error else None
            question.answer = message.get("answer")
            question.is_answered.set()

    async def _answer(self, message: dict[str, Any]) -> None:
        said: dict[str, object] = {"id": message["id"]}
        try:
            answer = self.answers.get(message["ask"])
            if answer is None:  # of another version
                raise HutchError("runner_unable", f"{message['ask']} is not known here", "wait for its end")
            said["answer"] = await answer(**message["with"])
        except (TypeError, ValueError) as error:  # of another version too: it asks in other words
            why = f"{message['ask']} was asked in a way that is not known here: {type(error).__name__}"
            said["error"] = {"code": "runner_unable", "message": why, "hint": "wait for its end"}
        except HutchError as error:
            said["error"] = {"code": error.code, "message": error.message, "hint": error.hint}
        try:
            await self._send(said)
        except HutchError:
            return

    async def _send(self, message: dict[str, object]) -> None:
        data = json.dumps(message, default=str).encode() + b"\n"
        async with self._sending:
            try:
                await self.stream.send(data)
            except (anyio.BrokenResourceError, anyio.ClosedResourceError):
                raise _gone() from None


def _gone() -> HutchError:
    return HutchError(GONE, "the process that takes this run has just gone", "see: hutch show ID")
