from collections.abc import Callable
from pathlib import Path

import anyio

from hutch.runs.path.log import RunLog, read_log
from support.streams import LONG_S


def whole(path: Path) -> bytes:
    return read_log(path, 0, 1 << 24)[0]


async def test_both_streams_are_kept_apart_and_whole(tmp_path: Path) -> None:
    log = RunLog(tmp_path / "r", 1000)
    log.write("stdout", b"out")
    log.write("stderr", b"err")
    log.write("stdout", b"more")
    log.close()
    assert (whole(tmp_path / "r/stdout"), whole(tmp_path / "r/stderr")) == (b"outmore", b"err")
    assert (log.size("stdout"), log.dropped_bytes) == (7, 0)


async def test_beyond_its_bound_the_beginning_and_the_end_stay_and_the_gap_is_told(tmp_path: Path) -> None:
    log = RunLog(tmp_path / "r", 1000)
    for n in range(100_000):
        log.write("stdout", b"%9d\n" % n)
    log.close()
    text = whole(tmp_path / "r/stdout")
    assert text.startswith(b"        0\n")
    assert text.endswith(b"    99999\n")
    assert f"[hutch: {log.dropped_bytes} bytes of output left out here]".encode() in text
    told = len(f"\n[hutch: {log.dropped_bytes} bytes of output left out here]\n")
    assert len(text) - told + log.dropped_bytes == 1_000_000


async def test_a_little_beyond_the_bound_nothing_is_lost(tmp_path: Path) -> None:
    log = RunLog(tmp_path / "r", 1000)
    log.write("stdout", b"x" * 5000)
    log.close()
    assert whole(tmp_path / "r/stdout") == b"x" * 5000


async def test_a_silent_run_leaves_no_file_and_reads_as_empty(tmp_path: Path) -> None:
    log = RunLog(tmp_path / "r", 1000)
    log.close()
    assert not (tmp_path / "r").exists()
    assert read_log(tmp_path / "r/stdout", 5, 10) == (b"", 0)


async def test_a_full_disk_costs_output_and_never_the_run(tmp_path: Path) -> None:
    (tmp_path / "r").mkdir()
    (tmp_path / "r/stdout").symlink_to("/dev/full")  # a link is refused like any place that cannot be written
    log = RunLog(tmp_path / "r", 1000)
    log.write("stdout", b"lost")
    log.write("stderr", b"kept")
    log.close()
    assert (log.dropped_bytes, whole(tmp_path / "r/stderr")) == (4, b"kept")


async def test_what_is_written_after_the_end_does_not_touch_the_log(tmp_path: Path) -> None:
    log = RunLog(tmp_path / "r", 1000)
    log.write("stdout", b"before")
    log.close()
    log.write("stdout", b"after")
    log.close()
    assert whole(tmp_path / "r/stdout") == b"before"


async def test_who_waits_for_growth_is_woken_by_it_and_by_the_end(tmp_path: Path) -> None:
    log = RunLog(tmp_path / "r", 1000)
    acts: list[Callable[[], None]] = [lambda: log.write("stderr", b"x"), log.close]
    for act in acts:
        async with anyio.create_task_group() as group:
            with anyio.fail_after(LONG_S):
                group.start_soon(log.grown)
                await anyio.wait_all_tasks_blocked()
                act()
