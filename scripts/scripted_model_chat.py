"""How the scripted model speaks OpenAI Chat Completions and Google's generateContent."""

import json

from scripted_model_wire import Events, Format, Json, Reply, response_error

STATUSES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    503: "UNAVAILABLE",
}

# OpenAI Chat Completions ---------------------------------------------


def chat_events(reply: Reply) -> Events:
    chunk = {"id": f"chatcmpl-{reply.id}", "object": "chat.completion.chunk", "model": reply.model}

    def piece(delta: Json, reason: str | None = None) -> Json:
        return chunk | {"choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}

    events = [piece({"role": "assistant", "content": reply.text})]
    if reply.call:
        called = {"name": reply.call.tool.full_name, "arguments": json.dumps(reply.call.arguments)}
        call = {"index": 0, "id": f"call_{reply.id}", "type": "function", "function": called}
        events.append(piece({"tool_calls": [call]}))
    events.append(piece({}, "tool_calls" if reply.call else "stop"))
    return [*events, chunk | {"choices": [], "usage": _chat_usage(reply)}]


def _chat_usage(reply: Reply) -> Json:
    cached, written = reply.usage["cache_read"], reply.usage["output"]
    prompt = reply.usage["input"] + cached
    usage: Json = {"prompt_tokens": prompt, "completion_tokens": written, "total_tokens": prompt + written}
    return usage | {"prompt_tokens_details": {"cached_tokens": cached}}


def chat_whole(events: Events) -> Json:
    message: Json = {}
    for event in events[:-1]:
        message |= event["choices"][0]["delta"]
    choice = {"index": 0, "message": message, "finish_reason": events[-2]["choices"][0]["finish_reason"]}
    return {**events[-1], "object": "chat.completion", "choices": [choice]}


# Google generateContent ----------------------------------------------


def google_events(reply: Reply) -> Events:
    """One for the text and one for the call; the last says how it ended and what was used."""
    parts: Events = [{"text": reply.text}] if reply.text or not reply.call else []
    if reply.call:
        parts.append({"functionCall": {"name": reply.call.tool.full_name, "args": reply.call.arguments}})
    events: Events = [
        {"candidates": [{"index": 0, "content": {"role": "model", "parts": [part]}}]} for part in parts
    ]
    events[-1]["candidates"][0]["finishReason"] = "STOP"
    cached, written = reply.usage["cache_read"], reply.usage["output"]
    prompt = reply.usage["input"] + cached
    usage = {"promptTokenCount": prompt, "candidatesTokenCount": written, "totalTokenCount": prompt + written}
    events[-1]["usageMetadata"] = usage | {"cachedContentTokenCount": cached}
    return [event | {"modelVersion": reply.model} for event in events]


def google_whole(events: Events) -> Json:
    parts = [part for event in events for part in event["candidates"][0]["content"]["parts"]]
    candidate = events[-1]["candidates"][0] | {"content": {"role": "model", "parts": parts}}
    return {**events[-1], "candidates": [candidate]}


def google_error(status: int, message: str) -> Json:
    return {"error": {"code": status, "message": message, "status": STATUSES.get(status, "INTERNAL")}}


CHAT = Format(chat_events, chat_whole, response_error, end="data: [DONE]\n\n")
GOOGLE = Format(google_events, google_whole, google_error)
