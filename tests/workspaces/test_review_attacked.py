"""Reviews under attack: by whoever else may ask, by what a sandbox leaves behind, by sheer numbers."""

import os
import signal
import stat
import time
from collections.abc import AsyncGenerator
from pathlib import Path

import anyio
import pytest

from hutch.client import connect
from hutch.workspaces.review.applying import Transaction
from hutch.workspaces.review.changes import overlay_changes
from hutch.workspaces.review.reviews import Review, Reviews
from hutch.workspaces.review.steps import steps_for
from hutch_mcp_tools.change_records import AppliedRecord, ApplyRequest, ChangesRequest
from hutch_mcp_tools.service import ServiceError
from support.contract_column import ROOT_USER
from support.streams import LONG_S
from support.workspace_house import House, house

_CONFIG = """denied = ["/tmp/*/src/app/secrets", "/tmp/*/src/other"]
reviews_max = "4MiB"
[principals.eve]
"""


@pytest.fixture(scope="module")
async def served() -> AsyncGenerator[House]:
    async with house(ROOT_USER, _CONFIG) as made:
        yield made


def test_marks_of_an_overlay_that_refer_elsewhere_are_refused(tmp_path: Path) -> None:
    """An upper folder that somebody had his hands on between two runs."""
    real, upper = tmp_path / "real", tmp_path / "upper"
    for folder in (real / "d", upper / "d"):
        folder.mkdir(parents=True)
    (real / "d/secret").write_text("stays")
    for name, mark in (("data", "metacopy"), ("moved", "redirect"), ("gone", "whiteout")):
        (upper / name).write_text("")
        os.setxattr(upper / name, f"user.overlay.{mark}", b"/etc")
    os.setxattr(upper / "d", "user.overlay.opaque", b"x")
    (upper / "out").symlink_to("/etc/passwd")
    if os.geteuid() == 0:
        os.mknod(upper / "node", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    found = {change.path: change.refused for change in overlay_changes(real, upper)}
    refers = "what an overlay only refers to"
    assert [found[name] for name in ("data", "moved", "gone")] == [refers] * 3
    assert "leads out" in found["out"]
    assert found.get("node", "a device") != ""
    assert "d/secret" not in found


async def test_what_waits_of_another_is_not_found_by_anything_one_can_ask(here: House) -> None:
    here.write("a", "one\n")
    waits = await here.run("echo two > a", "review", cwd="/workspace")
    token = (await here.client.create_token("eve")).token
    request = here.request("while :; do sleep 1; done", "review", session_id="new")
    live = await here.client.run(request, 0)
    session = str(live.session_id)
    async with connect(here.daemon.config, token=token) as eve:
        for work, code in (
            (lambda: eve.get_changes(ChangesRequest(id=waits.run_id)), "run_unknown"),
            (lambda: eve.apply_changes(ApplyRequest(id=waits.run_id, agreed=True)), "run_unknown"),
            (lambda: eve.discard_changes(waits.run_id), "run_unknown"),
            (lambda: eve.suspend_run(live.run_id), "run_unknown"),
            (lambda: eve.suspend_run(live.run_id, suspended=False), "run_unknown"),
            (lambda: eve.suspend_session(session), "session_unknown"),
            (lambda: eve.suspend_session(session, suspended=False), "session_unknown"),
            (lambda: eve.stop_session(session), "session_unknown"),
            (lambda: eve.get_changes(ChangesRequest(id=session)), "session_unknown"),
            (lambda: eve.discard_changes(session), "session_unknown"),
        ):
            with pytest.raises(ServiceError) as refused:
                await work()
            assert refused.value.code == code
        assert await eve.list_reviews() == []
        mine = await eve.run(here.request("echo three > /workspace/a", "review"), 30)
        with pytest.raises(ServiceError) as refused:
            await eve.apply_changes(ApplyRequest(id=mine.run_id, agreed=True))
        assert refused.value.code == "apply_denied"
    assert (await here.client.get_run(live.run_id)).status == "running"
    assert (here.folder / "a").read_text() == "one\n"
    done = await here.client.apply_changes(ApplyRequest(id=waits.run_id, agreed=True))
    assert done.applied == ["M a"]
    await here.client.stop_session(session)


async def test_applied_twice_at_once_it_is_applied_once(here: House) -> None:
    record = await here.run("for n in $(seq 300); do echo $n > f$n; done", "review", cwd="/workspace")
    ends: list[str] = []

    async def apply() -> None:
        try:
            done = await here.client.apply_changes(ApplyRequest(id=record.run_id, agreed=True))
            ends.append(str(done.count))
        except ServiceError as error:
            ends.append(error.code)

    async with anyio.create_task_group() as both:
        for _ in range(4):
            both.start_soon(apply)
    assert "300" in ends
    assert set(ends) <= {"300", "0", "review_busy", "changes_unknown"}
    assert ends.count("300") == 1
    assert len(list(here.folder.iterdir())) == 300


async def test_a_file_that_is_exchanged_between_the_look_and_the_word_is_a_conflict(here: House) -> None:
    outside = here.folder.parent / "outside"
    outside.write_text("theirs")
    here.write("a", "one\n")
    record = await here.run("echo two > a", "review", cwd="/workspace")
    assert len((await here.client.get_changes(ChangesRequest(id=record.run_id))).changes) == 1
    (here.folder / "a").unlink()
    path = here.folder / "a"
    for kind in ("link", "hard link", "fifo", "folder"):
        if kind == "folder":
            path.mkdir()
        elif kind == "fifo":
            os.mkfifo(path)
        else:
            path.symlink_to(outside) if kind == "link" else path.hardlink_to(outside)
        with pytest.raises(ServiceError) as refused:
            await here.client.apply_changes(ApplyRequest(id=record.run_id, agreed=True))
        assert refused.value.code == "change_conflict"
        path.rmdir() if kind == "folder" else path.unlink()
    assert outside.read_text() == "theirs"


async def test_what_is_denied_by_the_owner_is_in_no_checkout(here: House) -> None:
    here.repository()
    for command in ("true", "git show HEAD:secrets/key"):
        with pytest.raises(ServiceError) as refused:
            await here.run(command, "worktree")
        assert refused.value.code == "path_denied"
    assert await here.out("echo works", "rw") == "works\n"


async def test_a_suspended_run_leaves_nothing_in_the_workspace_when_it_or_the_daemon_ends(
    here: House,
) -> None:
    here.repository()
    before = here.listing()
    for end in ("stop", "kill"):
        record = await here.client.run(here.request("echo x > /workspace/.git/x; sleep 60", "rw"), 0)
        with anyio.fail_after(LONG_S):
            while not (here.folder / ".git/x").exists():
                await anyio.sleep(0.02)
        (here.folder / ".git/x").unlink()
        try:
            assert (await here.client.suspend_run(record.run_id)).status == "suspended"
        except ServiceError as error:
            pytest.skip(error.message)
        if end == "stop":
            await here.client.stop_run(record.run_id)
            assert (await here.client.get_run(record.run_id, 45)).status == "cancelled"
        else:
            await here.daemon.restart(signal.SIGKILL)
            assert (await here.client.get_run(record.run_id)).is_ended
        assert here.listing() == before


def _review(folder: Path, count: int) -> tuple[Reviews, Review]:
    real = folder / "real"
    real.mkdir(parents=True)
    reviews = Reviews(folder / "reviews")
    review = reviews.open("r-1", real, overlays=False, most_bytes=0, say=print)
    for number in range(count):
        (review.copy / f"{number}").write_bytes(b"")
    return reviews, review


def test_what_applying_costs_grows_with_the_number_of_changes_and_not_faster(tmp_path: Path) -> None:
    took = []
    for count in (500, 4000):
        reviews, review = _review(tmp_path / str(count), count)
        began = time.process_time()
        steps = steps_for(review.changes(), dict.fromkeys(map(str, range(count))), {})
        reviews.apply(review, Transaction(review.folder, reviews.journal(review), steps))
        took.append(time.process_time() - began)
        assert len(list(review.folder.iterdir())) == count
    assert took[1] < 8 * took[0] * 3, took


async def test_of_a_great_many_changes_an_answer_has_some_and_says_how_many(here: House) -> None:
    command = "python3 -c 'import os; [os.close(os.open(str(n), os.O_CREAT)) for n in range(1200)]'"
    record = await here.run(command, "review", cwd="/workspace")
    assert len(record.workspace["changed"]) == 50  # type: ignore[arg-type]
    assert record.workspace["changes"] == 1200
    found = await here.client.get_changes(ChangesRequest(id=record.run_id))
    assert (len(found.changes), found.count, found.next) == (1000, 1200, 1000)
    done: AppliedRecord = await here.client.apply_changes(ApplyRequest(id=record.run_id, agreed=True))
    assert (len(done.applied), done.count, done.waiting) == (1000, 1200, 0)


async def test_reviews_have_a_bound_together_and_none_goes_by_itself(here: House) -> None:
    first = await here.run("head -c 5M /dev/urandom > big", "review", cwd="/workspace")
    assert first.exit_code == 0
    with pytest.raises(ServiceError) as refused:
        await here.run("true", "review")
    assert refused.value.code == "reviews_full"
    assert "hutch discard --older-than" in refused.value.hint
    listed = {each.review: each for each in await here.client.list_reviews()}[first.run_id]
    assert listed.bytes is not None
    assert listed.bytes > 4 << 20
    await here.client.discard_changes(first.run_id)
    assert (await here.run("true", "review")).exit_code == 0
