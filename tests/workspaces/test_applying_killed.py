"""Applying many changes is all or nothing, also where the process is killed by kill -9 at any moment."""

import os
import random
import signal
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest

from hutch.errors import HutchError
from hutch.workspaces.review.reviews import Review, Reviews
from hutch.workspaces.tree import Tree
from workspaces.test_applying import MOST, Countdown, Killed, begin, picture, transaction

FILES = 40  # of each sort
TRIES = 10


def many(folder: Path) -> tuple[Reviews, Review]:
    """A review of files that change, go and come, and of folders and files that take each other's place."""
    real = folder / "real"
    for n in range(FILES):
        (real / f"d{n}").mkdir(parents=True)
        (real / f"d{n}/changes").write_text(f"old {n}")
        (real / f"d{n}/goes").write_text("x")
        (real / f"swap{n}").write_text("file")
    reviews = Reviews(folder / "reviews")
    review = reviews.open("r-1", real, overlays=False, most_bytes=MOST, say=lambda _: None)
    for n in range(FILES):
        (review.copy / f"d{n}/changes").write_text(f"new {n}")
        (review.copy / f"d{n}/goes").unlink()
        (review.copy / f"swap{n}").unlink()
        (review.copy / f"swap{n}").mkdir()
        (review.copy / f"swap{n}/in").write_text("y")
    return reviews, review


def killed_after(delay_s: float, work: Callable[[], object]) -> None:
    """Do it in a process of its own, and kill that."""
    child = os.fork()
    if child == 0:
        try:
            work()
        finally:
            os._exit(0)
    time.sleep(delay_s)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def test_killed_at_random_it_is_whole_after_the_next_start_also_when_that_is_killed(tmp_path: Path) -> None:
    reviews, review = many(tmp_path / "measured")
    began_at = time.monotonic()
    reviews.apply(review, transaction(reviews, review))
    whole_s = time.monotonic() - began_at
    dice, ends = random.Random(4), []
    for n in count():  # ever later, until one was done in time: a busy machine is slow by turns
        reviews, review = many(tmp_path / str(n))
        before, after = picture(review.folder), picture(review.copy)
        waiting, doing = len(review.changes()), transaction(reviews, review)
        killed_after(whole_s * n / TRIES, lambda: reviews.apply(review, doing))  # noqa: B023 - called at once
        killed_after(whole_s * dice.random() / 2, reviews.recover)
        reviews.recover()
        now = picture(review.folder)
        assert now in (before, after)
        assert not reviews.journal(review).exists()
        is_there = (review.place / "copied.json").exists()  # one that was applied as a whole goes
        assert is_there or now == after
        assert not is_there or len(review.changes()) == (0 if now == after else waiting)
        ends.append(now == after)
        if n >= TRIES and True in ends:
            break
    assert False in ends


def test_killed_while_it_takes_back_it_goes_on_taking_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_mode, undone = Tree.set_mode, 0
    for n in range(200):
        reviews, review = begin(tmp_path / str(n))
        before, after = picture(review.folder), picture(review.copy)
        doing = transaction(reviews, review)
        doing.before_each = Countdown(n)
        refuses = iter([True])

        def once(tree: Tree, path: str, mode: int) -> None:
            if path == "d" and next(refuses, False):  # noqa: B023 - of this turn
                raise OSError(5, "Input/output error")
            set_mode(tree, path, mode)

        monkeypatch.setattr(Tree, "set_mode", once)
        try:
            doing.apply()
        except Killed:
            undone += doing.state == "undoing"
            reviews.recover()
            assert picture(review.folder) in ((before,) if doing.state == "undoing" else (before, after))
        except HutchError:
            assert picture(review.folder) == before
            break
    assert undone > 10


def test_what_cannot_be_taken_back_is_kept_for_the_next_daemon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reviews, review = begin(tmp_path)
    before = picture(review.folder)
    doing = transaction(reviews, review)

    def refuse(*_: object) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as broken:
        broken.setattr("hutch.workspaces.tree.Tree.set_mode", refuse)  # the last step
        broken.setattr("hutch.workspaces.tree.Tree.link", refuse)  # by which a removed file comes back
        with pytest.raises(HutchError, match="what was there is in"):
            doing.apply()
        with pytest.raises(HutchError) as refused:
            reviews.apply(review, transaction(reviews, review))
        assert refused.value.code == "apply_failed"
    reviews.recover()
    assert picture(review.folder) == before
