"""A log within a budget: what is shown and what is left out add up, whatever the bytes."""

from base64 import b64encode

import anyio
from hypothesis import given
from hypothesis import strategies as st

from hutch_mcp_tools.excerpt import COUNTED_BYTES, LINE_BYTES, Excerpt, Log, Piece, shown_line
from hutch_mcp_tools.run_records import LogChunk, LogRequest
from hutch_mcp_tools.run_text import shares

CHUNKS = (
    b"plain\n",
    b"\n",
    b"\r",
    b"\x1b[31m",
    "zwölf".encode(),
    "\u2028\U0001f9f5".encode(),
    b"\xff\xc3",
    b"--- x\n",
)
logs = st.lists(st.sampled_from(CHUNKS) | st.binary(max_size=40), max_size=60).map(b"".join)
budgets = st.integers(25, 600)


class OneLog:
    """Answers at most `most` bytes at once, as a service may."""

    def __init__(self, data: bytes, most: int = 1 << 20) -> None:
        self.data = data
        self.most = most

    async def read_log(self, request: LogRequest) -> LogChunk:
        part = self.data[request.start : request.start + min(request.limit, self.most)]
        data = b64encode(part).decode()
        return LogChunk(data_base64=data, next=request.start + len(part), end=len(self.data))


def excerpt_of(data: bytes, budget: int) -> Excerpt:
    return anyio.run(Log(OneLog(data, most=97), "r", "stdout").excerpt, budget)


def pages_of(data: bytes, budget: int) -> list[Piece]:
    pages: list[Piece] = []

    async def turn() -> None:
        log = Log(OneLog(data), "r", "stdout")
        at = 0
        while at < len(data):
            pages.append(await log.page(at, budget))
            assert pages[-1].end > at
            at = pages[-1].end

    anyio.run(turn)
    return pages


@given(logs, budgets)
def test_an_excerpt_keeps_its_budget_and_its_counts_add_up(data: bytes, budget: int) -> None:
    excerpt = excerpt_of(data, budget)
    assert len(excerpt.head.text) + len(excerpt.tail.text) <= budget
    assert (excerpt.head.start, excerpt.tail.end, excerpt.size) == (0, len(data), len(data))
    assert 0 <= excerpt.head.end <= excerpt.tail.start
    assert excerpt.lines == data.count(b"\n") + (data != b"" and not data.endswith(b"\n"))
    assert excerpt.head.lines == excerpt.head.text.count("\n")
    assert excerpt.tail.lines == excerpt.tail.text.count("\n")


@given(logs, budgets)
def test_an_excerpt_always_shows_how_a_log_ends(data: bytes, budget: int) -> None:
    excerpt = excerpt_of(data, budget)
    assert not data or excerpt.tail.text or excerpt.head.end == len(data)


@given(logs, budgets)
def test_pages_cover_every_byte_once_and_cut_no_line_inside(data: bytes, budget: int) -> None:
    pages = pages_of(data, budget)
    assert [page.start for page in pages] == [0, *(page.end for page in pages[:-1])][: len(pages)]
    assert all(len(page.text) <= budget for page in pages)
    assert not any("left out" in page.text for page in pages)


@given(logs)
def test_what_is_shown_of_plain_text_is_that_text(data: bytes) -> None:
    plain = bytes(byte for byte in data if byte == 10 or (0x30 <= byte < 0x7B and chr(byte) not in "[\\"))
    excerpt = excerpt_of(plain, 10_000)
    assert excerpt.head.text.removesuffix("\n") == plain.decode().removesuffix("\n")


def test_a_short_log_is_shown_whole() -> None:
    excerpt = excerpt_of(b"one\ntwo\n", 100)
    assert excerpt == Excerpt(Piece("one\ntwo\n", 2, 0, 8), Piece("", 0, 8, 8), 8, 2)


def test_a_log_is_cut_in_the_middle_at_lines() -> None:
    excerpt = excerpt_of(b"".join(b"%03d\n" % n for n in range(100)), 40)
    assert excerpt.head == Piece("000\n001\n", 2, 0, 8)
    assert excerpt.tail == Piece("".join(f"{n:03}\n" for n in range(92, 100)), 8, 368, 400)
    assert (excerpt.bytes_left_out, excerpt.lines) == (360, 100)


def test_one_endless_line_is_shown_by_its_two_ends() -> None:
    data = b"<" + b"x" * 3_000_000 + b">"
    excerpt = excerpt_of(data, 16_000)
    assert excerpt.head.text.startswith("<x")
    assert excerpt.tail.text.endswith("x>\n")
    assert (excerpt.head.end, excerpt.tail.start) == (LINE_BYTES, len(data) - LINE_BYTES)
    assert excerpt.lines == 1


def test_lines_are_not_counted_where_that_needs_reading_too_much() -> None:
    assert excerpt_of(b"line\n" * (COUNTED_BYTES // 4), 200).lines is None


def test_a_long_line_says_how_much_of_it_is_left_out_and_where() -> None:
    shown = shown_line(b"a\r" + b"b" * 5000, at=100)
    assert (
        shown == "b" * LINE_BYTES + f" […3000 bytes of this line left out, cursor={100 + 2 + LINE_BYTES}]\n"
    )


def test_a_progress_bar_stands_as_it_was_drawn_last() -> None:
    assert shown_line(b" 1%\r 50%\r100%\r", at=0) == "100%\n"


def test_a_character_is_never_cut_in_two() -> None:
    excerpt = excerpt_of("ü".encode() * 5000, 101)
    assert "\ufffd" not in excerpt.head.text


def test_a_hit_far_inside_a_long_line_is_shown_with_what_is_around_it() -> None:
    data = b"first\n" + b"x" * 50_000 + b" needle " + b"y" * 50_000 + b"\nlast\n"
    piece = anyio.run(Log(OneLog(data), "r", "stdout").search, "NEEDLE|nothing", 0, 16_000)
    assert piece.text.startswith("6: …xxx")
    assert " needle yyy" in piece.text
    assert (piece.lines, piece.end) == (1, len(data))


@given(logs, st.integers(60, 400))
def test_a_search_goes_on_where_it_stopped(data: bytes, budget: int) -> None:
    async def search() -> list[str]:
        log = Log(OneLog(data), "r", "stdout")
        found, at = [], 0
        while at < len(data):
            piece = await log.search("a|plain", at, budget)
            assert len(piece.text) <= budget
            assert piece.end > at
            found += piece.text.split("\n")[:-1]
            at = piece.end
        return found

    found = anyio.run(search)
    lines = data.split(b"\n")
    starts = [sum(len(line) + 1 for line in lines[:n]) for n in range(len(lines))]
    matching = [start for start, line in zip(starts, lines, strict=True) if b"a" in line.lower()]
    assert [int(hit.partition(":")[0]) for hit in found] == matching


def test_a_search_finds_lines_over_the_borders_of_what_is_read() -> None:
    data = b"".join(b"%06d" % n + b"." * 1000 + b"\n" for n in range(5000))
    found = anyio.run(Log(OneLog(data, most=4 << 20), "r", "stdout").search, "004321", 0, 16_000)
    assert found.text.startswith(f"{4321 * 1007}: 004321...")
    assert (found.lines, found.end) == (1, len(data))


@given(st.integers(200, 200_000), st.integers(0, 10**9), st.integers(0, 10**9))
def test_neither_stream_pushes_the_other_out(budget: int, stdout: int, stderr: int) -> None:
    for_stdout, for_stderr = shares(budget, stdout, stderr)
    assert for_stdout + for_stderr == budget
    assert for_stdout >= min(stdout, budget // 2)
    assert for_stderr >= min(stderr, budget // 2)
