"""How the scripted model speaks: Anthropic Messages and OpenAI Responses, each streamed or whole."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]
Events = list[Json]

ERROR_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    529: "overloaded_error",
}


@dataclass(frozen=True)
class Tool:
    """A tool on offer; Codex groups the tools of an MCP server under a namespace."""

    name: str
    namespace: str = ""

    @property
    def full_name(self) -> str:
        return f"{self.namespace}__{self.name}" if self.namespace else self.name


@dataclass(frozen=True)
class Call:
    tool: Tool
    arguments: Json | str  # a string: a free-form tool


@dataclass(frozen=True)
class Reply:
    """One answer of the model, before it has a wire format."""

    id: str  # unique within a conversation
    model: str
    text: str
    call: Call | None
    usage: dict[str, int]  # input, output, cache_read, cache_write


@dataclass(frozen=True)
class Format:
    """How one API says a reply and an error. The reply in one piece is put together from its events."""

    events: Callable[[Reply], Events]
    whole: Callable[[Events], Json]
    error: Callable[[int, str], Json]
    end: str = ""  # behind the last event of a stream


# Anthropic Messages --------------------------------------------------


def message_events(reply: Reply) -> Events:
    usage = {
        "input_tokens": reply.usage["input"],
        "cache_creation_input_tokens": reply.usage["cache_write"],
        "cache_read_input_tokens": reply.usage["cache_read"],
        "output_tokens": 1,
    }
    message: Json = {"id": f"msg_{reply.id}", "type": "message", "role": "assistant", "model": reply.model}
    message |= {"content": [], "stop_reason": None, "stop_sequence": None, "usage": usage}
    events: Events = [{"type": "message_start", "message": message}]
    for index, (start, delta) in enumerate(_blocks(reply)):
        events.append({"type": "content_block_start", "index": index, "content_block": start})
        events.append({"type": "content_block_delta", "index": index, "delta": delta})
        events.append({"type": "content_block_stop", "index": index})
    stop = {"stop_reason": "tool_use" if reply.call else "end_turn", "stop_sequence": None}
    usage = usage | {"output_tokens": reply.usage["output"]}
    return [*events, {"type": "message_delta", "delta": stop, "usage": usage}, {"type": "message_stop"}]


def _blocks(reply: Reply) -> list[tuple[Json, Json]]:
    """Each content block as it starts, and all that is added to it."""
    blocks: list[tuple[Json, Json]] = []
    if reply.text:
        blocks.append(({"type": "text", "text": ""}, {"type": "text_delta", "text": reply.text}))
    if reply.call:
        use = {"type": "tool_use", "id": f"toolu_{reply.id}", "name": reply.call.tool.full_name, "input": {}}
        arguments = json.dumps(reply.call.arguments)
        blocks.append((use, {"type": "input_json_delta", "partial_json": arguments}))
    return blocks


def message_whole(events: Events) -> Json:
    start, end = events[0]["message"], events[-2]
    content = []
    for opened, added in zip(events[1:-2:3], events[2:-2:3], strict=True):
        delta, block = added["delta"], opened["content_block"]
        filled = {"text": delta["text"]} if "text" in delta else {"input": json.loads(delta["partial_json"])}
        content.append(block | filled)
    return {**start, "content": content, **end["delta"], "usage": end["usage"]}


def message_error(status: int, message: str) -> Json:
    return {
        "type": "error",
        "error": {"type": ERROR_TYPES.get(status, "api_error"), "message": message},
    }


# OpenAI Responses ----------------------------------------------------


def response_events(reply: Reply) -> Events:
    cached, prompt = reply.usage["cache_read"], reply.usage["input"] + reply.usage["cache_read"]
    response: Json = {"id": f"resp_{reply.id}", "object": "response", "model": reply.model, "output": []}
    usage = {
        "input_tokens": prompt,
        "input_tokens_details": {"cached_tokens": cached},
        "output_tokens": reply.usage["output"],
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": prompt + reply.usage["output"],
    }
    events: Events = [{"type": "response.created", "response": response | {"status": "in_progress"}}]
    output = _items(reply)
    for index, item in enumerate(output):
        place = {"output_index": index, "item_id": item["id"]}
        begun = item | {"status": "in_progress"} | ({"content": []} if item["type"] == "message" else {})
        events.append({"type": "response.output_item.added", **place, "item": begun})
        if item["type"] == "message":
            delta = {"content_index": 0, "delta": reply.text}
            events.append({"type": "response.output_text.delta", **place, **delta})
        events.append({"type": "response.output_item.done", **place, "item": item})
    completed = response | {"status": "completed", "output": output, "usage": usage}
    events.append({"type": "response.completed", "response": completed})
    return [event | {"sequence_number": n} for n, event in enumerate(events)]


def _items(reply: Reply) -> list[Json]:
    items: list[Json] = []
    if reply.text:
        content = [{"type": "output_text", "text": reply.text, "annotations": []}]
        items.append({"id": f"msg_{reply.id}", "type": "message", "role": "assistant", "content": content})
    if reply.call:
        call: Json = {"id": f"fc_{reply.id}", "call_id": f"call_{reply.id}", "name": reply.call.tool.name}
        if reply.call.tool.namespace:
            call["namespace"] = reply.call.tool.namespace
        if isinstance(reply.call.arguments, str):
            items.append(call | {"type": "custom_tool_call", "input": reply.call.arguments})
        else:
            items.append(call | {"type": "function_call", "arguments": json.dumps(reply.call.arguments)})
    return [item | {"status": "completed"} for item in items]


def response_whole(events: Events) -> Json:
    response: Json = events[-1]["response"]
    return response


def response_error(status: int, message: str) -> Json:
    kind = ERROR_TYPES.get(status, "server_error")
    return {"error": {"message": message, "type": kind, "param": None, "code": None}}


MESSAGES = Format(message_events, message_whole, message_error)
RESPONSES = Format(response_events, response_whole, response_error)
