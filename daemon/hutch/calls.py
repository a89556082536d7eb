"""A call of the daemon over its socket: a method's name and arguments out, events and an answer back."""

import json
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable
from typing import Any, TypeVar

import httpx2
from pydantic import TypeAdapter

from hutch.errors import HutchError
from hutch_mcp_tools.events import Events, RunEvent
from hutch_mcp_tools.service import ServiceError

T = TypeVar("T")
_ARGUMENTS = TypeAdapter(dict[str, Any])


class Caller:
    """Stands on a connection whose requests carry the token."""

    def __init__(self, http: httpx2.AsyncClient, revive: Callable[[], Awaitable[None]] | None = None) -> None:
        """`revive` has a daemon there again; it raises HutchError. None: a call where none is fails."""
        self._http = http
        self._revive = revive

    async def _call(
        self,
        name: str,
        answer: type[T],
        events: Events | None = None,
        data: AsyncIterable[bytes] | None = None,
        **arguments: object,
    ) -> T:
        told = _ARGUMENTS.dump_json(arguments)
        query = {"events": "true"} if events is not None else {}
        query |= {"arguments": told.decode()} if data is not None else {}
        body = told if data is None else data
        last: dict[str, Any] | None = None
        await self._be_there()
        try:
            async with self._http.stream("POST", f"/api/{name}", content=body, params=query) as response:
                async for line in _lines(response.aiter_bytes()):  # to its end: the connection is used again
                    message = json.loads(line)
                    if "event" not in message:
                        last = message
                    elif events is not None:
                        await events.send(RunEvent.model_validate(message["event"]))
        except httpx2.HTTPError as error:
            raise _gone() from error
        if last is None:
            raise _gone()
        return _answer(last, answer)

    async def _be_there(self) -> None:
        """Have a daemon to ask. Raises ServiceError."""
        if self._revive is None:
            return
        try:
            await self._revive()
        except HutchError as error:
            raise ServiceError(error.code, error.message, error.hint) from error


async def _lines(chunks: AsyncIterable[bytes]) -> AsyncGenerator[bytes]:
    """Yield lines. httpx2's own end at ten more characters, which may stand in JSON, and in any output."""
    rest: list[bytes] = []
    async for chunk in chunks:
        *whole, last = chunk.split(b"\n")
        for line in whole:
            yield b"".join((*rest, line))
            rest.clear()
        rest.append(last)
    if any(rest):
        yield b"".join(rest)


def _gone() -> ServiceError:
    return ServiceError(
        "daemon_gone",
        "the connection to the daemon broke off before its answer was whole",
        "what it was asked for may be done all the same, and a run go on until its deadline: "
        "see hutch ps --all, and hutch doctor",
    )


def _answer(message: dict[str, Any], answer: type[T]) -> T:
    if error := message.get("error"):
        raise ServiceError(error["code"], error["message"], error["hint"])
    return _adapter(answer).validate_python(message["result"])


_adapters: dict[object, TypeAdapter[Any]] = {}


def _adapter(answer: type[T]) -> TypeAdapter[T]:
    """Made once each: it costs more than the reading."""
    if answer not in _adapters:
        _adapters[answer] = TypeAdapter(answer)
    return _adapters[answer]
