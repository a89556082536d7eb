"""The sign of life: on a terminal a line that is kept up to date, elsewhere a line for each new state."""

import io
import sys
from collections.abc import Iterator

import pytest

from hutch.cli.waiting import Waiting


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock() -> Iterator[int]:
    return iter(range(100))


def test_a_terminal_sees_the_time_pass_until_there_is_something_better(
    clock: Iterator[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stderr", Terminal())
    waiting = Waiting("preparing", lambda: next(clock))
    waiting.say()
    waiting.now("running")
    waiting.say()
    waiting.over()
    waiting.say()
    waiting.over()
    assert isinstance(sys.stderr, Terminal)
    assert sys.stderr.getvalue() == "\r\x1b[K… preparing, 1 s\r\x1b[K… running, 2 s\r\x1b[K"


def test_a_log_gets_a_line_for_each_new_state(clock: Iterator[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    waiting = Waiting("preparing", lambda: next(clock))
    for _ in range(3):
        waiting.say()
    waiting.now("running")
    waiting.say()
    waiting.over()
    assert isinstance(sys.stderr, io.StringIO)
    assert sys.stderr.getvalue() == "… preparing\n… running\n"


def test_what_is_quick_needs_no_words(clock: Iterator[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", Terminal())
    Waiting("preparing", lambda: next(clock)).over()
    assert isinstance(sys.stderr, Terminal)
    assert sys.stderr.getvalue() == ""


def test_between_the_lines_of_a_story_the_time_is_told_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", Terminal())
    now = [0.0]
    waiting = Waiting("running", lambda: now[0], comes_back=True)
    for now[0] in (2.0, 2.5):
        waiting.say()
    waiting.interrupt()
    now[0] = 3.0
    waiting.say()
    assert isinstance(sys.stderr, Terminal)
    assert sys.stderr.getvalue() == "\r\x1b[K… running, 2 s\r\x1b[K… running, 2 s\r\x1b[K"
    now[0] = 9.5
    waiting.say()
    assert sys.stderr.getvalue().endswith("\r\x1b[K… running, 7 s")
    waiting.over()
    waiting.say()
    assert sys.stderr.getvalue().endswith("7 s\r\x1b[K")


def test_in_a_log_nothing_comes_back(clock: Iterator[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    waiting = Waiting("preparing", lambda: next(clock), comes_back=True)
    waiting.say()
    waiting.interrupt()
    waiting.now("running")
    waiting.say()
    assert isinstance(sys.stderr, io.StringIO)
    assert sys.stderr.getvalue() == "… preparing\n"
