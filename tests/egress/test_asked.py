"""What a request to a model says that its answer comes to at most."""

import json
from decimal import Decimal

import pytest

from hutch.egress.meter import Asked, Price, Prices, Used, asked_in, sizes_of

MESSAGES, CHAT, RESPONSES = "/v1/messages", "/v1/chat/completions", "/v1/responses"
GOOGLE = "/v1beta/models/gemini-2.5-pro:streamGenerateContent"
TEXT = [{"role": "user", "content": "hello"}]


def asked(path: str, **body: object) -> Asked:
    return asked_in(path, json.dumps(body).encode())


@pytest.mark.parametrize(
    ("path", "body", "expected"),
    [
        (MESSAGES, {"max_tokens": 10}, 10),
        (MESSAGES, {"max_output_tokens": 10}, None),
        (CHAT, {"max_tokens": 10}, 10),
        (CHAT, {"max_completion_tokens": 20}, 20),
        (CHAT, {"max_completion_tokens": 5, "max_tokens": 10}, 10),
        (CHAT, {"max_tokens": 10, "models": ["a", "b"]}, None),  # another may answer
        (RESPONSES, {"max_output_tokens": 10}, 10),
        (RESPONSES, {"max_tokens": 10}, None),
        (RESPONSES, {"max_output_tokens": None}, None),
        (GOOGLE, {"generationConfig": {"maxOutputTokens": 10}}, 10),
        (GOOGLE, {"generation_config": {"max_output_tokens": "10"}}, 10),
        ("/v1internal:generateContent", {"request": {"generationConfig": {"maxOutputTokens": 10}}}, 10),
        (MESSAGES, {"metadata": {"max_tokens": 10}}, None),
        (MESSAGES, {"max_tokens": "ten"}, None),
        (MESSAGES, {"max_tokens": -1}, None),
        (MESSAGES, {"max_tokens": True}, None),
        ("/v1/anything", {"max_tokens": 10}, None),
    ],
)
def test_the_bound_is_read_where_each_api_has_it(
    path: str, body: dict[str, object], expected: int | None
) -> None:
    assert asked(path, **body).most_output == expected


@pytest.mark.parametrize(
    ("path", "body", "expected"),
    [(CHAT, {"n": 3}, 3), (CHAT, {}, 1), (GOOGLE, {"generationConfig": {"candidateCount": 2}}, 2)],
)
def test_several_answers_at_once_are_counted(path: str, body: dict[str, object], expected: int) -> None:
    assert asked(path, **body).answers == expected


def test_its_model_and_what_makes_it_dearer_are_read() -> None:
    said = asked(MESSAGES, model="m", service_tier="priority", speed="fast")
    assert (said.model, said.service_tier, said.speed) == ("m", "priority", "fast")
    assert asked(GOOGLE).model == "gemini-2.5-pro"


@pytest.mark.parametrize(
    "body",
    [
        {"previous_response_id": "r"},
        {"cachedContent": "c"},
        {"tools": [{"type": "web_search_20250305"}]},
        {"tools": [{"googleSearch": {}}]},
        {"messages": [{"content": [{"source": {"type": "file", "file_id": "f"}}]}]},
        {"messages": [{"content": [{"source": {"type": "url", "url": "https://x"}}]}]},
        {"messages": [{"content": [{"type": "image_url", "image_url": {"url": "https://x"}}]}]},
        {"contents": [{"parts": [{"fileData": {"fileUri": "gs://x"}}]}]},
    ],
)
def test_what_has_more_read_than_it_holds_is_no_measure_of_that(body: dict[str, object]) -> None:
    assert asked(MESSAGES, max_tokens=1, **body).most_input is None


def test_a_name_that_is_spelled_otherwise_hides_nothing() -> None:
    body = rb'{"max_tokens": 1, "messages": [{"file\u005fid": "f"}]}'
    assert asked_in(MESSAGES, body).most_input is None


def test_a_tool_that_takes_an_address_is_no_page_that_is_read() -> None:
    tool = {"name": "fetch", "input_schema": {"type": "object", "properties": {"url": {"type": "string"}}}}
    body = json.dumps({"messages": TEXT, "tools": [tool]}).encode()
    assert asked_in(MESSAGES, body).most_input == len(body)


@pytest.mark.parametrize("body", [b"", b"\x28\xb5\x2f\xfd", b"[" * 100_000, b'{"max_tokens": 1', b"[1]"])
def test_what_is_not_understood_names_no_bound(body: bytes) -> None:
    assert asked_in(MESSAGES, body) == Asked()


def test_the_most_that_it_costs_is_that_of_input_that_is_kept() -> None:
    own = Prices({"m": Price(Decimal(1), Decimal(10), cache_write=Decimal(2))})
    assert own.most_usd(Used("m", 1_000_000, 100_000), "x") == Decimal(3)
    listed = Prices().most_usd(Used("claude-opus-4-5", 1_000_000, 0), "api.anthropic.com")
    assert listed == Decimal(10)  # for an hour
    assert Prices().most_usd(Used("stranger", 1, 1), "x") is None


def test_what_a_model_can_read_and_write_is_known_of_those_of_the_list() -> None:
    assert sizes_of("claude-opus-4-5", "api.anthropic.com") == (200_000, 128_000)
    assert sizes_of("stranger", "x") == sizes_of("", "x") == (None, None)
