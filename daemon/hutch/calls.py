"""A call of the daemon over its socket: a method's name and arguments out, events and an answer back."""

import json
from collections.abc import AsyncIterable
from typing import Any, TypeVar

import httpx2
from pydantic import TypeAdapter

from hutch_mcp_tools.service import Events, RunEvent, ServiceError

T = TypeVar("T")


class Caller:
    """Stands on a connection whose requests carry the token."""

    def __init__(self, http: httpx2.AsyncClient) -> None:
        self._http = http

    async def _call(
        self,
        name: str,
        answer: type[T],
        events: Events | None = None,
        data: AsyncIterable[bytes] | None = None,
        **arguments: object,
    ) -> T:
        told = TypeAdapter(dict[str, Any]).dump_json(arguments)
        query = {"events": "true"} if events is not None else {}
        query |= {"arguments": told.decode()} if data is not None else {}
        body = told if data is None else data
        try:
            async with self._http.stream("POST", f"/api/{name}", content=body, params=query) as response:
                async for line in response.aiter_lines():
                    message = json.loads(line)
                    if "event" not in message:
                        return _answer(message, answer)
                    if events is not None:
                        await events.send(RunEvent.model_validate(message["event"]))
        except httpx2.HTTPError as error:
            raise ServiceError(
                "daemon_gone", f"the daemon went away during {name}: {error}", "see: hutch doctor"
            ) from error
        raise ServiceError(
            "daemon_gone", f"the daemon ended without an answer to {name}", "see: hutch doctor"
        )


def _answer(message: dict[str, Any], answer: type[T]) -> T:
    if error := message.get("error"):
        raise ServiceError(error["code"], error["message"], error["hint"])
    return TypeAdapter(answer).validate_python(message["result"])
