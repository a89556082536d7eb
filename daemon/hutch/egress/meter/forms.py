"""What one JSON object of an answer says of usage, in the form of whichever API it speaks.

Sources: the API references of Anthropic (messages, streaming), OpenAI (chat completions, responses), Google
(generateContent) and OpenRouter (usage accounting), as of 2026-11.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import msgspec

_NAME = 200  # characters of a model's name
_MOST = 1 << 40  # no count is larger
_NULL = msgspec.Raw(b"null")
_ENDS = ("message_delta", "response.completed", "response.incomplete", "response.failed")


@dataclass(frozen=True, slots=True)
class Said:
    """Fields of `Used` that an object has, by name."""

    model: str = ""
    counts: Mapping[str, Any] = field(default_factory=dict)
    is_final: bool = False  # the last word of a stream


class _Item(msgspec.Struct):
    type: Any = None


class _Object(msgspec.Struct):
    """What is looked at; all else is passed over without being built."""

    type: Any = None
    object: Any = None
    model: Any = None
    usage: Any = None
    service_tier: Any = None
    output: msgspec.Raw = _NULL
    message: msgspec.Raw = _NULL  # Anthropic's first event has the answer in here
    response: msgspec.Raw = _NULL  # OpenAI's responses have it in here
    model_version: Any = msgspec.field(name="modelVersion", default=None)
    usage_metadata: Any = msgspec.field(name="usageMetadata", default=None)


def said_in(data: bytes) -> Said:
    """Read one object. Whatever is not understood says nothing."""
    event = _decoded(data)
    kind = event.type if isinstance(event.type, str) else ""
    answer = event
    if kind == "message_start":
        answer = _decoded(event.message)
    elif kind.startswith("response.") or not (kind or event.model):  # Google wraps its own for some clients
        answer = _decoded(event.response) if event.response != _NULL else event
    return Said(
        model=_text(answer.model) or _text(answer.model_version),
        counts=_counts(answer, kind),
        is_final=kind in _ENDS,
    )


def _counts(answer: _Object, kind: str) -> dict[str, Any]:
    usage, metadata = answer.usage, answer.usage_metadata
    if isinstance(metadata, dict):
        return _google(metadata)
    if not isinstance(usage, dict):
        return {}
    if "prompt_tokens" in usage:
        return _openai(answer, usage, "prompt", "completion")
    is_response = kind.startswith("response.") or answer.object == "response"
    if is_response or "input_tokens_details" in usage:
        return _openai(answer, usage, "input", "output")
    return _anthropic(usage)


def _anthropic(usage: dict[str, Any]) -> dict[str, Any]:
    counts: dict[str, Any] = {}
    for name, key in (
        ("input_tokens", "input_tokens"),
        ("output_tokens", "output_tokens"),
        ("cache_read_tokens", "cache_read_input_tokens"),
        ("cache_write_tokens", "cache_creation_input_tokens"),
    ):
        if usage.get(key) is not None:
            counts[name] = _count(usage, key)
    if isinstance(kept := usage.get("cache_creation"), dict):
        counts["cache_write_1h_tokens"] = _count(kept, "ephemeral_1h_input_tokens")
    if isinstance(tools := usage.get("server_tool_use"), dict):
        counts["web_searches"] = _count(tools, "web_search_requests")
    for name in ("service_tier", "speed"):
        if word := _text(usage.get(name)):
            counts[name] = word
    return counts


def _openai(answer: _Object, usage: dict[str, Any], into: str, out: str) -> dict[str, Any]:
    details = usage.get(f"{into}_tokens_details")
    details = details if isinstance(details, dict) else {}
    read, written = _count(details, "cached_tokens"), _count(details, "cache_write_tokens")
    counts: dict[str, Any] = {
        "input_tokens": max(0, _count(usage, f"{into}_tokens") - read - written),
        "output_tokens": _count(usage, f"{out}_tokens"),
        "cache_read_tokens": read,
        "cache_write_tokens": written,
        "web_searches": _web_searches(answer.output),
    }
    cost = usage.get("cost")
    if isinstance(cost, int | float) and not isinstance(cost, bool) and 0 <= cost < _MOST:
        counts["stated_usd"] = Decimal(str(cost))
    if tier := _text(answer.service_tier):
        counts["service_tier"] = tier
    return counts


def _google(usage: dict[str, Any]) -> dict[str, Any]:
    read = _count(usage, "cachedContentTokenCount")
    prompt = _count(usage, "promptTokenCount") - read + _count(usage, "toolUsePromptTokenCount")
    return {
        "input_tokens": max(0, prompt),
        "output_tokens": _count(usage, "candidatesTokenCount") + _count(usage, "thoughtsTokenCount"),
        "cache_read_tokens": read,
    }


def _web_searches(output: msgspec.Raw) -> int:
    try:
        items = msgspec.json.decode(output, type=list[_Item])
    except (msgspec.DecodeError, RecursionError):
        return 0
    return sum(item.type == "web_search_call" for item in items)


def _decoded(data: bytes | msgspec.Raw) -> _Object:
    try:
        return msgspec.json.decode(data, type=_Object)
    except (msgspec.DecodeError, RecursionError):
        return _Object()


def _text(value: object) -> str:
    return value[:_NAME].encode("utf-8", "replace").decode() if isinstance(value, str) else ""


def _count(usage: dict[str, Any], key: str) -> int:
    value = usage.get(key)
    return value if type(value) is int and 0 <= value < _MOST else 0  # a bool is an int, but no count
