"""What a request to a model asks for: which model, and how much it may write at most."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from hutch.egress.meter.apis import Api, api_of, model_in

_NULL = msgspec.Raw(b"null")
_NAME = 200  # characters of a model's name
_MOST = 1 << 40  # no bound is larger
# What is read and is not in the request, files and pages by their names; and names that are spelled so that
# this would not be seen. Each begins with what can be found fast.
_ELSEWHERE = tuple(
    re.compile(mark)
    for mark in (
        rb'"file(?:_?(?:id|ur[il])|Id|Ur[il])"\s*:',
        rb'"image(?:_?url|Url)"\s*:',
        rb'"type"\s*:\s*"url"',
        rb"\\u00[4-7]",
    )
)
_FETCHES = re.compile(
    rb"web_?search|web_?fetch|file_?search|code_?(?:interpreter|execution)|google_?(?:search|maps)"
    rb'|url_?context|retrieval|"(?:mcp|image_generation|computer_use_preview)"',
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Asked:
    """What one request asks for, as it says itself."""

    model: str = ""
    most_output: int | None = None  # tokens that it lets be written; None: it names no bound that is known
    most_input: int | None = None  # tokens that it can be at most; None: it has others read than it holds
    answers: int = 1  # so many at once
    service_tier: str = ""
    speed: str = ""


class _Body(msgspec.Struct):
    """What is looked at; all else is passed over without being built."""

    model: Any = None
    models: msgspec.Raw = _NULL  # a gateway's: others to ask in its place
    n: Any = None
    best_of: Any = None
    max_tokens: Any = None
    max_completion_tokens: Any = None
    max_output_tokens: Any = None
    service_tier: Any = None
    speed: Any = None
    tools: msgspec.Raw = _NULL
    plugins: msgspec.Raw = _NULL
    mcp_servers: msgspec.Raw = _NULL
    previous_response_id: msgspec.Raw = _NULL
    conversation: msgspec.Raw = _NULL
    container: msgspec.Raw = _NULL
    cached_content: msgspec.Raw = _NULL
    cached_content_camel: msgspec.Raw = msgspec.field(name="cachedContent", default=_NULL)
    generation_config: Any = None
    generation_config_camel: Any = msgspec.field(name="generationConfig", default=None)
    request: msgspec.Raw = _NULL  # Google's wraps its own for some clients


def asked_in(path: str, body: bytes) -> Asked:
    """Read the whole body of a request. Whatever is not understood names no bound."""
    try:
        asked = msgspec.json.decode(body, type=_Body)
        inner = asked if asked.request == _NULL else msgspec.json.decode(asked.request, type=_Body)
    except (msgspec.DecodeError, RecursionError):
        return Asked(model_in(path))
    is_told = asked.models == _NULL
    return Asked(
        model=model_in(path) or _text(asked.model),
        most_output=_bound(api_of(path), inner) if is_told else None,
        most_input=None if _reads_more(inner, body) else len(body),  # no token is shorter than a byte
        answers=_answers(inner),
        service_tier=_text(inner.service_tier),
        speed=_text(inner.speed),
    )


def _bound(api: Api | None, body: _Body) -> int | None:
    if api is Api.MESSAGES:
        return _count(body.max_tokens)
    if api is Api.RESPONSES:
        return _count(body.max_output_tokens)
    if api is Api.CHAT:
        return _most(body.max_tokens, body.max_completion_tokens)
    if api is Api.GOOGLE:
        return _most(*_settings(body, "maxOutputTokens", "max_output_tokens"))
    return None


def _answers(body: _Body) -> int:
    counts = (body.n, body.best_of, *_settings(body, "candidateCount", "candidate_count"))
    return max(1, _most(*counts) or 1)


def _settings(body: _Body, *names: str) -> list[Any]:
    """Return what Google's settings say by these names, however they are spelled."""
    tables = (body.generation_config_camel, body.generation_config)
    return [table.get(name) for table in tables if isinstance(table, Mapping) for name in names]


def _reads_more(body: _Body, data: bytes) -> bool:
    """Whether what the model reads may be more than the request itself."""
    kept = (body.previous_response_id, body.conversation, body.container, body.mcp_servers, body.plugins)
    if any(each != _NULL for each in (*kept, body.cached_content, body.cached_content_camel)):
        return True
    return _FETCHES.search(bytes(body.tools)) is not None or any(mark.search(data) for mark in _ELSEWHERE)


def _most(*values: object) -> int | None:
    return max((count for value in values if (count := _count(value)) is not None), default=None)


def _count(value: object) -> int | None:
    """Return a number, also as Google takes it; a bound that cannot be understood is none."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < len(str(_MOST)):
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if type(value) is int and 0 <= value < _MOST else None


def _text(value: object) -> str:
    return value[:_NAME] if isinstance(value, str) else ""
