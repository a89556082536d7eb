"""What the meter reads out of answers: every API, whole and streamed, in any pieces."""

import json
import sys
from collections.abc import Callable
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hutch.egress.meter import Api, Reader, Used, api_of, refusal
from hutch.egress.meter import pieces as meter_pieces

Json = dict[str, Any]

USED: Json = {"input_tokens": 1000, "output_tokens": 50, "cache_read_tokens": 200, "cache_write_tokens": 30}


def sse(*events: Json | str, names: bool = False) -> bytes:
    said = [event if isinstance(event, str) else json.dumps(event) for event in events]
    head = [f"event: {e['type']}\n" if names and isinstance(e, dict) else "" for e in events]
    return "".join(f"{h}data: {data}\n\n" for h, data in zip(head, said, strict=True)).encode()


def body(*objects: Json) -> bytes:
    return json.dumps(objects[0] if len(objects) == 1 else objects, indent=1).encode()


def read(*chunks: bytes, is_whole: bool = True) -> Used | None:
    reader = Reader()
    for chunk in chunks:
        reader.feed(chunk)
    return reader.finish(is_whole=is_whole)


# Anthropic ------------------------------------------------------------

ANTHROPIC = {
    "input_tokens": 1000,
    "cache_creation_input_tokens": 30,
    "cache_read_input_tokens": 200,
    "cache_creation": {"ephemeral_5m_input_tokens": 10, "ephemeral_1h_input_tokens": 20},
    "output_tokens": 50,
    "server_tool_use": {"web_search_requests": 2},
    "service_tier": "standard",
}
MESSAGE = {
    "type": "message",
    "model": "claude-opus-5-5",
    "content": [{"type": "text", "text": 'a "usage" {'}],
}
STARTED = {
    "type": "message_start",
    "message": MESSAGE | {"content": [], "usage": ANTHROPIC | {"output_tokens": 1, "server_tool_use": None}},
}
TEXT = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": '"usage": {'}}
CHANGED = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}}
STOPPED = {"type": "message_stop"}
OF_ANTHROPIC = Used(
    "claude-opus-5-5", **USED, cache_write_1h_tokens=20, web_searches=2, service_tier="standard"
)


def test_a_message_of_anthropic() -> None:
    assert read(body(MESSAGE | {"usage": ANTHROPIC})) == OF_ANTHROPIC


def test_a_stream_of_anthropic() -> None:
    stream = sse(STARTED, TEXT, CHANGED | {"usage": ANTHROPIC}, STOPPED, names=True)
    assert read(stream) == OF_ANTHROPIC


def test_an_end_that_tells_the_output_alone() -> None:
    end = {"output_tokens": 50, "server_tool_use": {"web_search_requests": 2}}
    assert read(sse(STARTED, TEXT, CHANGED | {"usage": end}, STOPPED)) == OF_ANTHROPIC


def test_a_stream_that_is_hung_up_on_after_its_last_word_is_complete() -> None:
    assert read(sse(STARTED, CHANGED | {"usage": ANTHROPIC}), is_whole=False) == OF_ANTHROPIC


def test_a_cut_stream_is_a_lower_bound() -> None:
    used = read(sse(STARTED, TEXT, TEXT), is_whole=False)
    assert used is not None
    assert (used.input_tokens, used.output_tokens, used.is_complete) == (1000, 1, False)


# OpenAI ------------------------------------------------------------

CHAT = {
    "prompt_tokens": 1230,
    "completion_tokens": 50,
    "prompt_tokens_details": {"cached_tokens": 200, "cache_write_tokens": 30},
}
CHUNK = {"object": "chat.completion.chunk", "model": "gpt-5.5", "choices": [{"delta": {"content": "x"}}]}
OF_OPENAI = Used("gpt-5.5", **USED)


def test_a_chat_completion() -> None:
    whole = {"object": "chat.completion", "model": "gpt-5.5", "choices": [], "service_tier": "flex"}
    assert read(body(whole | {"usage": CHAT})) == Used("gpt-5.5", **USED, service_tier="flex")


@pytest.mark.parametrize("end", [(), ("[DONE]",)])
def test_a_stream_of_a_chat(end: tuple[str, ...]) -> None:
    chunks: list[Json] = [CHUNK, CHUNK | {"usage": None}, CHUNK | {"choices": [], "usage": CHAT}]
    assert read(sse(*chunks, *end)) == OF_OPENAI


def test_a_chat_that_does_not_tell_its_usage() -> None:
    assert read(sse(CHUNK, CHUNK, "[DONE]")) == Used("gpt-5.5", is_complete=False)


def test_usage_that_is_told_all_the_time_and_cut() -> None:
    so_far = CHUNK | {"usage": {"prompt_tokens": 9, "completion_tokens": 2}}
    first = CHUNK | {"usage": {"prompt_tokens": 9, "completion_tokens": 1}}
    assert read(sse(first, so_far), is_whole=False) == Used(
        "gpt-5.5", input_tokens=9, output_tokens=2, is_complete=False
    )


def test_what_a_gateway_says_that_it_costs() -> None:
    whole = {
        "object": "chat.completion",
        "model": "anthropic/claude-opus-5.5",
        "usage": CHAT | {"cost": 0.0123},
    }
    used = read(body(whole))
    assert used is not None
    assert used.stated_usd == Decimal("0.0123")


RESPONSE = {
    "object": "response",
    "model": "gpt-5.5",
    "output": [{"type": "web_search_call", "action": {}}, {"type": "message", "content": [{"text": "x"}]}],
    "usage": {
        "input_tokens": 1230,
        "input_tokens_details": {"cached_tokens": 200, "cache_write_tokens": 30},
        "output_tokens": 50,
        "total_tokens": 1280,
    },
}
OF_RESPONSE = Used("gpt-5.5", **USED, web_searches=1)


def test_a_response() -> None:
    assert read(body(RESPONSE)) == OF_RESPONSE


@pytest.mark.parametrize("end", ["completed", "incomplete", "failed"])
def test_a_stream_of_a_response(end: str) -> None:
    created = {"type": "response.created", "response": RESPONSE | {"output": [], "usage": None}}
    delta = {"type": "response.output_text.delta", "delta": "usage"}
    last = {"type": f"response.{end}", "response": RESPONSE}
    assert read(sse(created, delta, last, names=True), is_whole=False) == OF_RESPONSE
    assert read(sse(created, delta), is_whole=False) == Used("gpt-5.5", is_complete=False)


# Google ------------------------------------------------------------

GOOGLE = {
    "promptTokenCount": 1100,
    "toolUsePromptTokenCount": 100,
    "cachedContentTokenCount": 200,
    "candidatesTokenCount": 20,
    "thoughtsTokenCount": 30,
}
PART = {"candidates": [{"content": {"parts": [{"text": "x"}]}}], "modelVersion": "gemini-3.1-pro-preview"}
OF_GOOGLE = Used("gemini-3.1-pro-preview", **USED | {"cache_write_tokens": 0})


@pytest.mark.parametrize("form", [body, sse])
def test_google_whole_and_streamed(form: Callable[..., bytes]) -> None:
    early = PART | {"usageMetadata": {"promptTokenCount": 1100}}
    last = PART | {"usageMetadata": GOOGLE}
    assert read(form(last)) == OF_GOOGLE
    assert read(form(early, PART, last)) == OF_GOOGLE


def test_a_list_of_google_that_is_cut() -> None:
    early = PART | {"usageMetadata": {"promptTokenCount": 1100}}
    cut = body(early, PART | {"usageMetadata": GOOGLE})[:-40]
    assert read(cut, is_whole=False) == Used("gemini-3.1-pro-preview", input_tokens=1100, is_complete=False)


# Pieces ------------------------------------------------------------

BODIES = {
    "message": body(MESSAGE | {"usage": ANTHROPIC}),
    "messages": sse(STARTED, TEXT, CHANGED | {"usage": ANTHROPIC}, STOPPED, names=True),
    "with returns": sse(STARTED, TEXT, CHANGED | {"usage": ANTHROPIC}).replace(b"\n", b"\r\n"),
    "with returns alone": sse(STARTED, TEXT, CHANGED | {"usage": ANTHROPIC}).replace(b"\n", b"\r"),
    "without an end": sse(STARTED, TEXT, CHANGED | {"usage": ANTHROPIC}).rstrip(),
    "with a mark and comments": b"\xef\xbb\xbf: hello\n\n" + sse(STARTED, CHANGED | {"usage": ANTHROPIC}),
    "response": body(RESPONSE),
    "google": body(PART, PART | {"usageMetadata": GOOGLE}),
    "escapes": body(MESSAGE | {"content": 'a \\" { \\\\ "', "usage": ANTHROPIC}),
}


@pytest.mark.parametrize("name", BODIES)
def test_every_single_byte_by_itself(name: str) -> None:
    data = BODIES[name]
    used = read(*(data[at : at + 1] for at in range(len(data))))
    assert used is not None
    assert used == read(data)
    assert used.output_tokens == 50
    assert used.is_complete


@given(st.sampled_from(sorted(BODIES)), st.lists(st.integers(0, 2000)), st.booleans())
def test_any_cut_of_the_bytes_gives_the_same_figures(name: str, at: list[int], is_whole: bool) -> None:
    data = BODIES[name]
    marks = [0, *sorted(at), len(data)]
    cut = [data[start:end] for start, end in pairwise(marks)]
    assert read(*cut, is_whole=is_whole) == read(data, is_whole=is_whole)


@given(st.sampled_from(sorted(BODIES)), st.integers(0, 2000))
def test_a_part_of_an_answer_never_tells_more_than_the_whole(name: str, end: int) -> None:
    whole, part = read(BODIES[name]), read(BODIES[name][:end], is_whole=False)
    assert whole is not None
    assert part is None or part.tokens <= whole.tokens


@given(st.lists(st.binary(max_size=200)))
def test_no_bytes_at_all_raise_anything(chunks: list[bytes]) -> None:
    read(*chunks)
    read(b"{", *chunks)
    read(b"data: {", *chunks)


@pytest.mark.parametrize(
    "text",
    [
        '{"usage": {"input_tokens": -1, "output_tokens": true}}',
        '{"usage": {"input_tokens": 1.5, "output_tokens": "9"}, "model": 7}',
        '{"usage": {"prompt_tokens": 99999999999999999999, "cost": -1, "prompt_tokens_details": 3}}',
        '{"usageMetadata": {"promptTokenCount": null}}',
    ],
)
def test_counts_that_are_none_count_nothing(text: str) -> None:
    used = read(text.encode())
    assert used is not None
    assert (used.tokens, used.stated_usd) == (0, None)


@pytest.mark.parametrize(
    "text",
    ["", "{}", '{"usage": 3}', "[" * 100_000, '{"a":' * 100_000, '{"input_tokens": 10}', "\x1f\x8b\x08"],
)
def test_what_speaks_of_no_usage_says_nothing(text: str) -> None:
    assert read(text.encode()) is None


def test_what_is_too_large_is_let_go_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meter_pieces, "MAX_OBJECT", 1000)
    reader = Reader()
    reader.feed(sse(STARTED))
    for _ in range(100):
        reader.feed(b"data: " + b"x" * 100)
        assert sys.getsizeof(reader._pieces._line._data) < 2000  # type: ignore[union-attr]
    used = reader.finish(is_whole=True)
    assert used is not None
    assert (used.input_tokens, used.is_complete) == (1000, False)


# Requests ------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "api"),
    [
        ("/v1/messages", Api.MESSAGES),
        ("/gateway/anthropic/v1/messages/", Api.MESSAGES),
        ("/v1/messages/count_tokens", None),
        ("/v1/responses", Api.RESPONSES),
        ("/v1/responses/input_tokens", None),
        ("/api/v1/chat/completions", Api.CHAT),
        ("/v1beta/models/gemini-3.1-pro:streamGenerateContent", Api.GOOGLE),
        ("/v1beta/models/gemini-3.1-pro:countTokens", None),
        ("/v1internal:streamGenerateContent", Api.GOOGLE),
        ("/v1/models", None),
        ("/", None),
    ],
)
def test_which_api_a_path_speaks(path: str, api: Api | None) -> None:
    assert api_of(path) is api


@pytest.mark.parametrize("api", [*Api, None])
def test_a_refusal_says_its_message_where_clients_of_the_api_look(api: Api | None) -> None:
    assert json.loads(refusal(api, "the budget is spent"))["error"]["message"] == "the budget is spent"
