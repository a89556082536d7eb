"""Applying is all or nothing, wherever it is killed; and a review works without overlays."""

import os
import stat
from contextlib import suppress
from pathlib import Path

import pytest

from hutch.errors import HutchError
from hutch.workspaces.look import look_over
from hutch.workspaces.review.applying import Transaction
from hutch.workspaces.review.changes import copy_changes
from hutch.workspaces.review.copying import copy_folder
from hutch.workspaces.review.patches import take_hunks
from hutch.workspaces.review.reviews import Review, Reviews
from hutch.workspaces.review.steps import steps_for
from hutch.workspaces.tree import Tree

MOST = 1 << 30


class Killed(BaseException):
    """The daemon was killed: nothing catches this."""


class Countdown:
    """Kills before the n-th change of the disk."""

    def __init__(self, n: int) -> None:
        self.left = n

    def __call__(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise Killed


def fill(real: Path) -> None:
    (real / "d/inner").mkdir(parents=True)
    (real / "gone").mkdir()
    for name, text in {
        "a": "a",
        "b": "b",
        "d/c": "c",
        "d/inner/e": "e",
        "gone/x": "x",
        "swap": "file",
    }.items():
        (real / name).write_text(text)
    (real / "link").symlink_to("a")


def change_all(copy: Path) -> None:
    """One change of every sort."""
    (copy / "a").write_text("A")
    (copy / "b").unlink()
    (copy / "gone/x").unlink()
    (copy / "gone").rmdir()
    (copy / "new/deep").mkdir(parents=True)
    (copy / "new/deep/n").write_text("n")
    (copy / "swap").unlink()
    (copy / "swap").mkdir()
    (copy / "swap/s").write_text("s")
    (copy / "link").unlink()
    (copy / "link").symlink_to("d/c")
    (copy / "d").chmod(0o700)
    (copy / "d/c").chmod(0o755)


def picture(root: Path) -> dict[str, object]:
    """All that can be seen of a folder."""
    return {
        str(path.relative_to(root)): (
            stat.filemode(path.lstat().st_mode),
            str(path.readlink()) if path.is_symlink() else path.read_text() if path.is_file() else None,
        )
        for path in sorted(root.rglob("*"))
    }


def begin(folder: Path) -> tuple[Reviews, Review]:
    real = folder / "real"
    real.mkdir(parents=True)
    fill(real)
    reviews = Reviews(folder / "reviews")
    review = reviews.open("r-1", real, overlays=False, most_bytes=MOST, say=lambda _: None)
    change_all(review.copy)
    return reviews, review


def transaction(reviews: Reviews, review: Review) -> Transaction:
    changes = review.changes()
    with Tree(review.folder) as tree:
        stamps = {change.path: tree.stamp(change.path) for change in changes}
    return Transaction(review.folder, reviews.journal(review), steps_for(changes, stamps, {}))


def test_a_copy_tells_the_same_changes_and_they_can_be_applied(tmp_path: Path) -> None:
    reviews, review = begin(tmp_path)
    assert sorted(f"{each.kind} {each.path}" for each in review.changes()) == [
        "A new", "A new/deep", "A new/deep/n", "A swap/s", "D b", "D gone", "D gone/x",
        "M a", "M d", "M d/c", "M link", "M swap",
    ]  # fmt: skip
    wanted = picture(review.copy)
    reviews.apply(review, transaction(reviews, review))
    assert picture(review.folder) == wanted
    assert review.changes() == []


def test_wherever_it_is_killed_all_of_it_is_there_afterwards_or_nothing(tmp_path: Path) -> None:
    ends = set()
    for n in range(200):
        reviews, review = begin(tmp_path / str(n))
        before, after = picture(review.folder), picture(review.copy)
        doing = transaction(reviews, review)
        doing.before_each = Countdown(n)
        try:
            reviews.apply(review, doing)
        except Killed:
            Reviews(reviews.folder).recover()
            found = picture(review.folder)
            assert found in (before, after), n
            ends.add(found == after)
            assert (review.changes() == []) == (found == after)
        else:
            break
    else:
        pytest.fail("it never came to its end")
    assert ends == {True, False}
    assert n > 25


def test_killed_again_while_it_recovers(tmp_path: Path) -> None:
    for n in range(12, 30, 3):
        for m in range(0, 12, 2):
            reviews, review = begin(tmp_path / f"{n}-{m}")
            before, after = picture(review.folder), picture(review.copy)
            doing = transaction(reviews, review)
            doing.before_each = Countdown(n)
            with suppress(Killed):
                reviews.apply(review, doing)
            if reviews.journal(review).exists():
                again = Transaction.read(reviews.journal(review))
                again.before_each = Countdown(m)
                with suppress(Killed):
                    again.recover()
            Reviews(reviews.folder).recover()
            assert picture(review.folder) in (before, after), (n, m)


def test_what_somebody_changed_while_the_daemon_was_dead_is_not_lost(tmp_path: Path) -> None:
    for n in range(60):
        reviews, review = begin(tmp_path / str(n))
        before = picture(review.folder)
        doing = transaction(reviews, review)
        doing.before_each = Countdown(n)
        try:
            reviews.apply(review, doing)
        except Killed:
            (review.folder / "d/c").unlink(missing_ok=True)
            (review.folder / "d/c").write_text("mine")
            Reviews(reviews.folder).recover()
            found = picture(review.folder)
            assert (review.folder / "d/c").read_text() == "mine"
            rest = {name: seen for name, seen in found.items() if name not in ("d/c", "d")}
            olds = {name: seen for name, seen in before.items() if name not in ("d/c", "d")}
            news = {name: seen for name, seen in picture(review.copy).items() if name not in ("d/c", "d")}
            assert rest in (olds, news), n
        else:
            return
    pytest.fail("it never came to its end")


def test_a_refusal_of_the_host_takes_all_of_it_back(tmp_path: Path) -> None:
    for n in range(8, 60):
        reviews, review = begin(tmp_path / str(n))
        before = picture(review.folder)
        left = [n]

        def refuse(left: list[int] = left) -> None:
            left[0] -= 1
            if left[0] == 0:
                raise OSError(28, "No space left on device")

        doing = transaction(reviews, review)
        doing.before_each = refuse
        try:
            reviews.apply(review, doing)
        except (HutchError, OSError):
            Reviews(reviews.folder).recover()
            assert picture(review.folder) in (before, picture(review.copy))
        else:
            return


def test_no_link_is_followed_on_the_way(tmp_path: Path) -> None:
    reviews, review = begin(tmp_path)
    out = tmp_path / "out"
    out.mkdir()
    doing = transaction(reviews, review)
    for path in sorted((review.folder / "d").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    (review.folder / "d").rmdir()
    (review.folder / "d").symlink_to(out)
    with pytest.raises(HutchError) as refused:
        reviews.apply(review, doing)
    assert refused.value.code in ("change_conflict", "apply_failed")
    assert list(out.iterdir()) == []
    assert not list(review.folder.glob(".hutch-apply-*"))


def test_a_copy_over_its_bound_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    real = tmp_path / "real"
    real.mkdir()
    (real / "big").write_bytes(b"x" * 10_000)
    reviews = Reviews(tmp_path / "reviews")
    with pytest.raises(HutchError) as refused:
        reviews.open("r-1", real, overlays=False, most_bytes=5000, say=lambda _: None)
    assert refused.value.code == "workspace_too_large"
    assert list(reviews.folder.iterdir()) == []


def test_a_copy_leaves_out_what_is_special(tmp_path: Path) -> None:
    real = tmp_path / "real"
    real.mkdir()
    os.mkfifo(real / "pipe")
    (real / "x").write_text("x")
    (tmp_path / "copy").mkdir()
    with Tree(real) as tree:
        copied = copy_folder(tree, look_over(real, ()), tmp_path / "copy", MOST, lambda _: None)
    assert list(copied) == ["x"]
    assert list(copy_changes(real, tmp_path / "copy", copied)) == []


def test_what_is_hidden_is_in_no_copy_and_no_change_however_late_it_comes(tmp_path: Path) -> None:
    real = tmp_path / "real"
    (real / "keys").mkdir(parents=True)
    (real / "keys/one").write_text("TOP")
    (real / "x").write_text("x")
    reviews = Reviews(tmp_path / "reviews")

    def turn(*hidden: str) -> Review:
        return reviews.open(
            "r-1", real, overlays=False, most_bytes=MOST, say=lambda _: None, hidden=frozenset(hidden)
        )

    assert list((turn("keys").copy / "keys").iterdir()) == []
    (real / "late/deep").mkdir(parents=True)
    (real / "late/deep/key").write_text("TOP")
    (real / "y").mkdir()
    (real / "y/key").write_text("TOP")
    review = turn("keys", "late/deep/key")
    (review.copy / "y").symlink_to(tmp_path)  # of the sandbox's: nothing is made through it
    review = turn("keys", "late/deep/key", "y/key")
    assert (review.copy / "late/deep/key").read_text() == ""
    assert not (tmp_path / "key").exists()
    assert [change.path for change in review.changes()] == ["y", "y/key"]


def test_hunks_are_taken_one_by_one() -> None:
    old = b"".join(b"%d\n" % n for n in range(50))
    new = old.replace(b"5\n", b"five\n", 1).replace(b"\n30\n", b"\nthirty\n").replace(b"49\n", b"49\nlast")
    assert take_hunks(old, new, [1, 2, 3]) == new
    assert take_hunks(old, new, [2]) == old.replace(b"\n30\n", b"\nthirty\n")
    assert take_hunks(old, new, [3]) == old + b"last"
    assert take_hunks(b"", b"x\n", [1]) == b"x\n"
    for wrong in ([0], [4], []):
        assert take_hunks(old, new, wrong) is None


def test_a_folder_that_the_host_takes_away_is_no_change_of_a_copy(tmp_path: Path) -> None:
    """Such as what another run has in the workspace for its time."""
    real = tmp_path / "real"
    for name in ("passing", "filled"):
        (real / name).mkdir(parents=True)
    review = Reviews(tmp_path / "reviews").open("r-1", real, overlays=False, most_bytes=1 << 20, say=print)
    (review.copy / "filled/new").write_text("x")
    (review.copy / "made").mkdir()
    for name in ("passing", "filled"):
        (real / name).rmdir()
    assert [change.path for change in review.changes()] == ["filled", "filled/new", "made"]
