"""Secrets in requests and answers: in their place, toward their hosts, and nowhere else."""

import base64
import html
import json
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hutch.config import Secret
from hutch.destinations import Pattern
from hutch.errors import HutchError
from hutch.origins import Origin
from hutch.secrets import Held, Secrets, hold, read_place
from hutch.secrets.scrub import Scrubber, marks_of
from support.exchange_world import HOST, Server, Talk, world
from support.processes import free_port

VALUE = b's3cr3t+/ "value" of-the-owner'


def secret(*place: str, **rest: object) -> Secret:
    return Secret(from_env="X", place=place, **rest)  # type: ignore[arg-type]  # its fields, by name


def held(*place: str, value: bytes = VALUE, **rest: object) -> Held:
    """One that is bound to the world's server."""
    return hold("key", secret(*place, **rest), value, [Origin(Pattern(HOST, free_port()))])


async def asked(server: Talk, held: Held, request: str, body: str = "") -> bytes:
    """Ask with PHANTOM in the request."""
    lines = request.replace("PHANTOM", held.phantom).splitlines()
    head = "\r\n".join([lines[0], "Host: HOST", "Connection: close", *lines[1:]])
    port = held.hosts[0].pattern.port or 0
    async with world(server, [Secrets("r-1", [held])], port=port) as here:
        return await here.ask(f"{head}\r\n\r\n{body}".encode())


def echo(**headers: str) -> Server:
    return Server(headers=[("Content-Length", "2"), *headers.items()], body=[b"ok"])


async def test_a_header_gets_the_value_in_the_place_of_its_placeholder() -> None:
    server, key = echo(), held("header x-api-key")
    await asked(server, key, "GET / HTTP/1.1\nX-API-Key: PHANTOM\nX-Other: PHANTOM")
    headers = server.seen[0].headers
    assert headers["x-api-key"].encode() == VALUE
    assert headers["x-other"] == key.phantom
    assert headers["accept-encoding"] == "identity"


@pytest.mark.parametrize("scheme", ["Bearer", "bearer"])
async def test_a_bearer_token_is_known_in_any_case(scheme: str) -> None:
    server = echo()
    await asked(server, held("bearer"), f"GET / HTTP/1.1\nAuthorization: {scheme} PHANTOM")
    assert server.seen[0].headers["authorization"].encode() == b"Bearer " + VALUE


@pytest.mark.parametrize("pair", ["me:{}", "{}:x-oauth-basic", "{}:"])
async def test_basic_authentication_has_it_as_user_or_password(pair: str) -> None:
    server, key = echo(), held("basic")
    said = base64.b64encode(pair.format(key.phantom).encode()).decode()
    await asked(server, key, f"GET / HTTP/1.1\nAuthorization: Basic {said}")
    got = base64.b64decode(server.seen[0].headers["authorization"].removeprefix("Basic "))
    assert got == pair.format(VALUE.decode()).encode()


async def test_a_query_parameter_gets_it_and_its_neighbours_stay_as_they_are() -> None:
    server, key = echo(), held("query key")
    await asked(server, key, "GET /a?x=%2f&key=PHANTOM&other=PHANTOM HTTP/1.1")
    assert server.seen[0].target == f"/a?x=%2f&key={quote(VALUE, safe='')}&other={key.phantom}"


@pytest.mark.parametrize(
    "request_",
    ["GET /?k=PHANTOM HTTP/1.1", "GET / HTTP/1.1\nAuthorization: Bearer PHANTOM", "GET /PHANTOM HTTP/1.1"],
)
async def test_elsewhere_a_placeholder_stays_what_it_is_and_that_is_logged(
    request_: str, caplog: pytest.LogCaptureFixture
) -> None:
    server, key = echo(), held("header x-api-key")
    await asked(server, key, request_)
    seen = server.seen[0]
    assert VALUE.decode() not in f"{seen}"
    assert key.phantom in f"{seen}"
    assert "its placeholder was sent to" in caplog.text
    assert key.phantom not in caplog.text


async def test_toward_a_host_that_it_is_not_bound_to_it_is_not_replaced() -> None:
    server, ours = echo(), held("bearer", value=b"of this host")
    other = hold("key", secret("header x-api-key"), VALUE, [Origin(Pattern("other.example", 443))])
    async with world(server, [Secrets("r-1", [ours, other])]) as here:
        await here.ask(
            b"GET / HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\nx-api-key: %b\r\n\r\n"
            % other.phantom.encode()
        )
    assert server.seen[0].headers["x-api-key"] == other.phantom


async def test_without_tls_it_is_not_replaced() -> None:
    server, key = echo(), held("header x-api-key")
    port = key.hosts[0].pattern.port or 0
    async with world(server, [Secrets("r-1", [key])], is_tls=False, port=port) as here:
        await here.ask(
            f"GET / HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\nx-api-key: {key.phantom}\r\n\r\n".encode()
        )
    assert server.seen[0].headers["x-api-key"] == key.phantom


async def test_the_placeholder_of_another_run_is_refused_at_once() -> None:
    server, key, ended = echo(), held("header x-api-key"), held("header x-api-key")
    pair = base64.b64encode(f"me:{ended.phantom}".encode()).decode()
    for request in (
        f"GET / HTTP/1.1\nx-api-key: {ended.phantom}",
        f"GET / HTTP/1.1\nAuthorization: Basic {pair}",
    ):
        answer = await asked(server, key, request)
        assert answer.startswith(b"HTTP/1.1 403")
        assert b"of one that has ended" in answer
    assert not server.seen


@pytest.mark.parametrize(
    ("line", "passes"),
    [
        ("GET /v1/a HTTP/1.1", True),
        ("POST /v1/a HTTP/1.1", False),
        ("GET /v2/a HTTP/1.1", False),
        ("GET /v1/../v2 HTTP/1.1", False),
        ("GET /v1/%2e%2e/v2 HTTP/1.1", False),
        ("GET /v1/..%2fv2 HTTP/1.1", False),
        ("GET /%76%31/a HTTP/1.1", True),
    ],
)
async def test_methods_and_paths_bound_where_it_is_used(line: str, passes: bool) -> None:
    server, key = echo(), held("header x-api-key", methods=("GET",), paths=("/v1/*",))
    answer = await asked(server, key, f"{line}\nx-api-key: PHANTOM")
    assert answer.startswith(b"HTTP/1.1 200" if passes else b"HTTP/1.1 403")
    assert len(server.seen) == passes


SPOKEN = {
    "plain": VALUE,
    "percent": quote(VALUE, safe="").encode(),
    "json": json.dumps(VALUE.decode()).encode(),
    "json with slashes": json.dumps(VALUE.decode()).replace("/", "\\/").encode(),
    "base64": base64.b64encode(VALUE),
    "basic": base64.b64encode(b"user:" + VALUE),
    "basic, longer": base64.b64encode(b"users:" + VALUE + b"!"),
    "urlsafe": base64.urlsafe_b64encode(b"u:" + VALUE),
    "hex": VALUE.hex().encode(),
    "json of Go, of .NET": VALUE.replace(b"/", b"\\u002f").replace(b"+", b"\\u002B"),
    "all as numbers": b"".join(b"\\u%04X" % byte for byte in VALUE),
    "script": b"".join(b"\\x%02x" % byte for byte in VALUE),
    "html": html.escape(VALUE.decode()).encode(),
    "html by numbers": b"".join(
        b"&#x%x;" % byte if n % 2 else b"&#%d;" % byte for n, byte in enumerate(VALUE)
    ),
    "percent, all of it": b"".join(b"%%%02x" % byte for byte in VALUE),
}


@pytest.mark.parametrize("said", SPOKEN.values(), ids=SPOKEN)
async def test_an_answer_that_says_the_value_says_it_no_more(said: bytes) -> None:
    for cut in (len(said), len(said) // 2, 1):
        pieces = [b"<", *(said[at : at + cut] for at in range(0, len(said), cut)), b">"]
        size = sum(map(len, pieces))
        server = Server(headers=[("Content-Length", str(size)), ("X-Said", "a")], body=pieces)
        answer = await asked(server, held("bearer"), "GET / HTTP/1.1\nAuthorization: Bearer PHANTOM")
        body = answer.partition(b"\r\n\r\n")[2]
        assert len(body) == size
        assert said[4:-4] not in body


async def test_headers_of_an_answer_are_cleaned_and_its_compressed_body_is_kept_back() -> None:
    server = Server(
        headers=[("Location", f"/?k={quote(VALUE, safe='')}"), ("Content-Encoding", "gzip")], body=[b"x"]
    )
    answer = await asked(server, held("bearer"), "GET / HTTP/1.1\nAuthorization: Bearer PHANTOM")
    assert answer.startswith(b"HTTP/1.1 502")
    assert quote(VALUE, safe="").encode() not in answer
    server = Server(headers=[("Location", f"/?k={quote(VALUE, safe='')}"), ("Content-Length", "0")], body=[])
    answer = await asked(server, held("bearer"), "GET / HTTP/1.1\nAuthorization: Bearer PHANTOM")
    assert answer.startswith(b"HTTP/1.1 200")
    assert quote(VALUE, safe="").encode() not in answer


async def test_a_part_of_an_answer_is_not_asked_for_and_not_passed_on() -> None:
    server, asks = echo(), "GET / HTTP/1.1\nAuthorization: Bearer PHANTOM\nRange: bytes=3-4\nIf-Range: x"
    answer = await asked(server, held("bearer"), asks)
    assert answer.startswith(b"HTTP/1.1 200")
    assert not {"range", "if-range"} & server.seen[0].headers.keys()
    server = Server(
        status=206, headers=[("Content-Range", "bytes 3-4/9"), ("Content-Length", "2")], body=[b"cr"]
    )
    answer = await asked(server, held("bearer"), asks)
    assert answer.startswith(b"HTTP/1.1 502")
    assert b"cr\n" not in answer


SPELLINGS = st.sampled_from(
    [
        "{}".format,
        lambda c: f"\\u{ord(c):04x}" if ord(c) < 0x10000 else c,
        lambda c: "".join(f"%{byte:02X}" for byte in c.encode()),
        lambda c: f"&#{ord(c)};",
        html.escape,
    ]
)


@given(
    st.text(st.characters(exclude_categories=["C"]), min_size=8, max_size=30), st.data(), st.integers(1, 20)
)
def test_however_each_character_is_escaped_and_it_is_cut_it_is_found(
    text: str, data: st.DataObject, cut: int
) -> None:
    said = "".join(data.draw(SPELLINGS)(character) for character in text).encode()
    scrubber = Scrubber([marks_of(text.encode(), b"p" * len(text.encode()))])
    passed = b"".join(scrubber.feed(said[at : at + cut]) for at in range(0, len(said), cut)) + scrubber.end()
    rest = passed.lstrip(b"p*")  # of the last character, where what it begins with is a way to write it too
    assert len(rest) < 10
    assert said.endswith(rest)
    assert len(passed) == len(said)


@given(st.binary(min_size=8, max_size=40), st.lists(st.binary(max_size=60)), st.integers(1, 50))
def test_however_it_is_cut_what_is_clean_passes_as_it_is(value: bytes, pieces: list[bytes], cut: int) -> None:
    marks = marks_of(value, b"p" * len(value))
    whole = value.join(pieces)
    scrubber = Scrubber([marks])
    passed = (
        b"".join(scrubber.feed(whole[at : at + cut]) for at in range(0, len(whole), cut)) + scrubber.end()
    )
    assert len(passed) == len(whole)
    assert value not in passed
    assert all(
        was == now or now in b"p*" + b"".join(form.instead for form in marks.forms)
        for was, now in zip(whole, passed, strict=True)
    )


async def test_what_cannot_begin_a_value_is_not_held_back() -> None:
    scrubber = Scrubber([marks_of(VALUE, b"p" * len(VALUE))])
    assert scrubber.feed(b"data: {}\n\n") == b"data: {}\n\n"
    assert scrubber.feed(b"data: s3cr") == b"data: "
    assert scrubber.feed(b"ets\n") == b"s3crets\n"


def test_a_placeholder_has_the_wanted_beginning_and_its_values_length() -> None:
    key = held("bearer", value=b"sk-ant-" + b"x" * 60, like="sk-ant-api03-")
    assert key.phantom.startswith("sk-ant-api03-hutch")
    assert len(key.phantom) == 67
    assert held("bearer").phantom != held("bearer").phantom


def test_what_is_printed_of_a_secret_holds_neither_value_nor_placeholder() -> None:
    key = held("bearer")
    shown = f"{key!r} {key} {Secrets('r-1', [key])!r}"
    assert VALUE.decode() not in shown
    assert key.phantom not in shown


@pytest.mark.parametrize(
    "value", [b"short", b"two\nlines are no value", b"x" * 20_000, b"a tab\tin it", b" with spaces around "]
)
def test_what_could_not_be_kept_out_of_answers_is_no_secret(value: bytes) -> None:
    with pytest.raises(HutchError, match="is no line"):
        held("bearer", value=value)


@pytest.mark.parametrize(
    "text", ["header", "header a b", "header x: y", "query", "query a=b", "cookie", "bearer x", ""]
)
def test_what_is_no_place_is_none(text: str) -> None:
    assert read_place(text) is None
