"""The service's own wire: `POST /api/<method>`, arguments as a JSON object, the answer as JSON Lines.

The last line is `{"result": ...}` or `{"error": {code, message, hint}}`; before it, where the query says
`events=true`, come lines `{"event": ...}` while it works. A method that takes `data` has it as the body, of
any length, and its arguments as JSON in the query's `arguments`.
The routes are read off `SandboxService`, so that a method added there is served here.
"""

import inspect
import json
import logging
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, get_type_hints

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError, create_model
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from hutch.web.guard import caller
from hutch_mcp_tools.events import Events, RunEvent
from hutch_mcp_tools.service import SandboxService, ServiceError

logger = logging.getLogger(__name__)

MAX_BODY = 16 << 20  # bytes; a file of 4 MiB in base64 fits well
_EVENTS = 64  # events waiting for a slow client before the sender waits too

_JSON_LINES = "application/jsonl"
_OTHER_VERSION = "the client is of another version than the daemon"

Method = Callable[..., Coroutine[Any, Any, Any]]


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of the service as it is called from outside."""

    name: str
    arguments: type[BaseModel]
    answer: TypeAdapter[Any]
    has_events: bool
    takes_data: bool


def operations() -> dict[str, Operation]:
    """Read every public method off the service's protocol."""
    methods = inspect.getmembers(SandboxService, inspect.isfunction)
    return {name: _operation(name, method) for name, method in methods if not name.startswith("_")}


def routes(service_of: Callable[[str], SandboxService]) -> list[Route]:
    """Serve every operation, of the service as the caller may use it."""
    known = operations()

    async def call(request: Request) -> Response | Answer:
        operation = known.get(request.path_params["operation"])
        if operation is None:
            return _refuse(404, ServiceError("request_invalid", "no such operation", _OTHER_VERSION))
        try:
            told = request.query_params.get("arguments", "") if operation.takes_data else await _body(request)
            arguments = operation.arguments.model_validate_json(told)
        except ServiceError as error:
            return _refuse(413, error)
        except ClientDisconnect:  # nobody is there to be told
            return Response(status_code=400)
        except ValidationError as error:
            return _refuse(422, _invalid(error))
        method = getattr(service_of(caller(request.scope)), operation.name)
        if operation.takes_data:
            return await _answer_to_data(operation, method, arguments, request)
        wants_events = operation.has_events and request.query_params.get("events") == "true"
        return Answer(operation, method, arguments, wants_events=wants_events)

    return [Route("/api/{operation}", call, methods=["POST"])]


class Answer:
    """An ASGI response that works while it is sent; ends its waiting, not the run, when the client goes."""

    def __init__(
        self, operation: Operation, method: Method, arguments: BaseModel, *, wants_events: bool
    ) -> None:
        self._operation = operation
        self._method = method
        self._wants_events = wants_events
        self._values = _values(arguments)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._wants_events:
            headers = [(b"content-type", _JSON_LINES.encode())]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
        async with anyio.create_task_group() as group:
            group.start_soon(_cancel_on_disconnect, receive, group.cancel_scope)
            if self._wants_events:
                last = await self._work_with_events(send)
                await send({"type": "http.response.body", "body": last})
            else:  # whole, with its length: fewer pieces on the wire
                await Response(await self._work(), media_type=_JSON_LINES)(scope, receive, send)
            group.cancel_scope.cancel()

    async def _work(self, **events: Events) -> bytes:
        return await _last_line(self._operation, self._method(**self._values, **events))

    async def _work_with_events(self, send: Send) -> bytes:
        sender, receiver = anyio.create_memory_object_stream[RunEvent](_EVENTS)
        last = b""
        async with anyio.create_task_group() as group:
            group.start_soon(_send_events, receiver, send)
            with sender:
                last = await self._work(events=sender)
        return last


async def _send_events(events: MemoryObjectReceiveStream[RunEvent], send: Send) -> None:
    with events:
        async for event in events:
            line = b'{"event":%s}\n' % event.model_dump_json().encode()
            await send({"type": "http.response.body", "body": line, "more_body": True})


async def _cancel_on_disconnect(receive: Receive, scope: anyio.CancelScope) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    scope.cancel()


async def _last_line(operation: Operation, answer: Coroutine[Any, Any, Any]) -> bytes:
    try:
        return b'{"result":%s}\n' % operation.answer.dump_json(await answer)
    except ServiceError as error:
        return _error(error)
    except Exception:  # the edge of the daemon: no exception type, path or traceback may cross it
        logger.exception("%s failed", operation.name)
        return _error(ServiceError("internal", "an internal error", "the daemon's log has the details"))


async def _answer_to_data(
    operation: Operation, method: Method, arguments: BaseModel, request: Request
) -> Response:
    async with aclosing(_data(request)) as data:
        last = await _last_line(operation, method(**_values(arguments), data=data))
    # Where it was refused, the rest of the data need not be sent
    return Response(last, media_type=_JSON_LINES, headers={"connection": "close"})


async def _data(request: Request) -> AsyncGenerator[bytes]:
    try:
        async for piece in request.stream():
            yield piece
    except ClientDisconnect:
        raise ServiceError("request_invalid", "the client went away before the end of its data") from None


def _values(arguments: BaseModel) -> dict[str, Any]:
    return {name: getattr(arguments, name) for name in type(arguments).model_fields}


async def _body(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY:
            raise ServiceError(
                "request_too_large", f"a request is at most {MAX_BODY} bytes", "send it in parts"
            )
    return bytes(body)


def _operation(name: str, method: Method) -> Operation:
    hints = get_type_hints(method)
    fields: dict[str, Any] = {
        parameter.name: (
            hints[parameter.name],
            ... if parameter.default is parameter.empty else parameter.default,
        )
        for parameter in inspect.signature(method).parameters.values()
        if parameter.name not in ("self", "events", "data")
    }
    arguments = create_model(
        f"{name}_arguments", __config__=ConfigDict(extra="forbid", frozen=True), **fields
    )
    return Operation(name, arguments, TypeAdapter(hints["return"]), "events" in hints, "data" in hints)


def _invalid(error: ValidationError) -> ServiceError:
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    return ServiceError("request_invalid", f"{where}: {first['msg']}" if where else first["msg"])


def _refuse(status: int, error: ServiceError) -> Response:
    return Response(_error(error), status, media_type=_JSON_LINES)


def _error(error: ServiceError) -> bytes:
    body = {"code": error.code, "message": error.message, "hint": error.hint}
    return json.dumps({"error": body}).encode() + b"\n"
