"""`hutch volume log`, `diff`, `tag`, `restore`, `fork`, `rm`, `check`."""

import json
from collections.abc import Callable, Mapping

import anyio
import pytest

from hutch.volumes import VolumeName
from support.mcp_service import FakeService
from support.streams import LONG_S

Hutch = Callable[..., int]
Captured = pytest.CaptureFixture[str]
WEB = VolumeName.parse("web")


@pytest.fixture
def web(service: FakeService) -> None:
    """Snapshots 1 and 2 of one run, 3 of another."""

    async def put(holder: str, files: Mapping[str, bytes | None]) -> None:
        async with service.engine.lease(WEB, holder, create=True) as lease:
            folder = await service.engine.check_out(lease)
            for path, data in files.items():
                (folder / path).parent.mkdir(exist_ok=True)
                (folder / path).unlink() if data is None else (folder / path).write_bytes(data)
            await service.engine.commit(lease, holder)

    async def fill() -> None:
        await put("r-one", {"a.txt": b"one\ntwo\n", "b/c": b"\0bin", "gone": b"1\n"})
        await put("r-two", {"a.txt": b"one\n2\nthree", "b/c": b"\0bin2", "gone": None})
        await put("r-two", {"new": b"n\n"})

    anyio.run(fill)


@pytest.mark.usefixtures("web")
def test_diff_tells_by_default_what_the_last_run_changed(hutch: Hutch, capfd: Captured) -> None:
    assert hutch("volume", "diff", "web") == 0
    assert capfd.readouterr().out == "M a.txt\nM b/c\nD gone\nA new\n"
    assert hutch("volume", "diff", "web", "2") == 0
    assert capfd.readouterr().out == "A new\n"
    assert hutch("volume", "diff", "web", "3", "1", "--path", "b", "--json") == 0
    found = json.loads(capfd.readouterr().out)
    assert (found["a"], found["b"]) == (3, 1)
    assert [(each["kind"], each["path"], each["after"]["size"]) for each in found["changes"]] == [
        ("M", "/b/c", 4)
    ]


@pytest.mark.usefixtures("web")
def test_a_patch_is_one_that_programs_understand(hutch: Hutch, capfd: Captured) -> None:
    assert hutch("volume", "diff", "web", "1", "2", "-p") == 0
    assert capfd.readouterr().out == (
        "diff --git a/a.txt b/a.txt\n--- a/a.txt\n+++ b/a.txt\n@@ -1,2 +1,3 @@\n one\n-two\n+2\n+three\n"
        "\\ No newline at end of file\n"
        "diff --git a/b/c b/b/c\nnot shown: binary, 4 B -> 5 B\n"
        "diff --git a/gone b/gone\n--- a/gone\n+++ /dev/null\n@@ -1 +0,0 @@\n-1\n"
    )
    assert hutch("volume", "diff", "web", "1", "2", "--stat") == 0
    assert capfd.readouterr().out == (
        "M a.txt |     3 ++-\nM b/c   | binary, 4 B -> 5 B\nD gone  |     1 -\n"
        "3 files changed, 2 insertions(+), 2 deletions(-)\n"
    )


def test_what_agents_keep_for_themselves_stands_back(
    hutch: Hutch, service: FakeService, capfd: Captured
) -> None:
    async def fill() -> None:
        async with service.engine.lease(WEB, "r-one", create=True) as lease:
            folder = await service.engine.check_out(lease)
            (folder / ".hutch").mkdir()
            for path in (".hutch/session.json", ".hutch/log", ".hutcher", "index.html"):
                (folder / path).write_text("1\n")
            await service.engine.commit(lease, "r-one")

    anyio.run(fill)
    assert hutch("volume", "diff", "web", "0") == 0
    shown = capfd.readouterr()
    assert shown.out == "A .hutcher\nA index.html\n"
    assert shown.err == "3 changed in .hutch, where agents keep what is theirs: --path .hutch\n"
    assert hutch("volume", "diff", "web", "0", "--stat") == 0
    assert capfd.readouterr().out.endswith("2 files changed, 2 insertions(+), 0 deletions(-)\n")
    assert hutch("volume", "diff", "web", "0", "--path", "/.hutch") == 0
    assert capfd.readouterr() == ("A .hutch/\nA .hutch/log\nA .hutch/session.json\n", "")
    assert hutch("volume", "log", "web") == 0
    assert "5: A .hutcher, A index.html, A .hutch" in capfd.readouterr().out


@pytest.mark.usefixtures("web")
def test_what_a_working_folder_holds_is_told_while_a_run_works(
    hutch: Hutch, service: FakeService, capfd: Captured
) -> None:
    async def compare() -> None:
        async with service.engine.lease(WEB, "r-three") as lease:
            folder = await service.engine.check_out(lease)
            (folder / "new").write_text("newer\n")
            await anyio.to_thread.run_sync(hutch, "volume", "diff", "web", "--working", "-p")

    anyio.run(compare)
    assert "-n\n+newer\n" in capfd.readouterr().out
    assert hutch("volume", "diff", "web", "1", "--working") == 2


@pytest.mark.usefixtures("web")
def test_a_tag_stands_for_its_snapshot_everywhere(hutch: Hutch, capfd: Captured) -> None:
    assert hutch("volume", "tag", "web", "good", "--at", "1") == 0
    assert capfd.readouterr().err == "volume web: snapshot 1 is good\n"
    assert hutch("volume", "tag", "web") == 0
    assert capfd.readouterr().out.splitlines()[1].split()[:2] == ["good", "1"]
    assert hutch("volume", "cat", "web", "a.txt", "--at", "good") == 0
    assert capfd.readouterr().out == "one\ntwo\n"
    assert hutch("volume", "log", "web") == 0
    assert [line.split()[:2] for line in capfd.readouterr().out.splitlines()[1:]][-1] == ["1", "good"]
    assert hutch("volume", "untag", "web", "good") == 0
    assert hutch("volume", "cat", "web", "a.txt", "--at", "good") == 1
    assert capfd.readouterr().err.startswith("error: tag_unknown: ")


@pytest.mark.usefixtures("web")
def test_going_back_is_a_snapshot_of_its_own(hutch: Hutch, service: FakeService, capfd: Captured) -> None:
    assert hutch("volume", "restore", "web", "gone", "--at", "1") == 0
    assert capfd.readouterr().err.endswith(
        "volume web: snapshot 4, 1 changed\nto undo it: hutch volume restore web gone --at 3\n"
    )
    assert anyio.run(service.file, "web", "gone") == b"1\n"
    assert anyio.run(service.file, "web", "new") == b"n\n"
    assert hutch("volume", "restore", "web", "gone", "--at", "1") == 0
    assert capfd.readouterr().err.endswith("volume web: nothing differs, so nothing was done\n")
    assert hutch("volume", "restore", "web") == 2


@pytest.mark.usefixtures("web")
def test_a_fork_goes_its_own_way(hutch: Hutch, service: FakeService, capfd: Captured) -> None:
    assert hutch("volume", "fork", "web", "try", "--at", "1") == 0
    assert capfd.readouterr().err == "volume try: 3 files, 14 B, as in web at 1\n"
    assert anyio.run(service.file, "try", "a.txt") == b"one\ntwo\n"
    assert hutch("volume", "fork", "web", "try") == 1
    assert capfd.readouterr().err.startswith("error: volume_exists: ")


@pytest.mark.usefixtures("web")
def test_what_is_removed_can_be_brought_back(hutch: Hutch, capfd: Captured) -> None:
    assert hutch("volume", "rm", "web") == 1
    error, hint = capfd.readouterr().err.splitlines()
    assert error == "error: not_confirmed: nobody is there to be asked"
    assert hint == "hint: to do it without asking: --yes"
    assert hutch("volume", "rm", "web", "--yes") == 0
    assert capfd.readouterr().err.endswith("to undo it: hutch volume bring-back web\n")
    assert hutch("volume", "ls", "--json") == 0
    assert json.loads(capfd.readouterr().out) == []
    assert hutch("volume", "ls", "--removed") == 0
    assert capfd.readouterr().out.splitlines()[1].split()[:2] == ["web", "3"]
    assert hutch("volume", "bring-back", "web") == 0
    assert hutch("volume", "cat", "web", "new") == 0
    assert capfd.readouterr().out == "n\n"


@pytest.mark.usefixtures("web")
def test_a_check_says_whole_and_ends_with_1_where_it_is_not(
    hutch: Hutch, service: FakeService, capfd: Captured
) -> None:
    assert hutch("volume", "check", "web") == 0
    assert "is           whole\n" in capfd.readouterr().out

    async def damage() -> None:
        keys = [each.key async for each in service.store.list("volumes/default/web/")]
        key = next(key for key in keys if "/log/" in key)
        data, _ = await service.store.get(key)
        await service.store.put(key, data[:-1] + bytes([data[-1] ^ 1]))

    anyio.run(damage)
    assert hutch("volume", "check", "web") == 1
    out, err = capfd.readouterr()
    assert "is           damaged\n" in out
    assert err.startswith("error: ")


def test_log_tells_of_a_run_that_streamed_its_last_snapshot_only(
    hutch: Hutch, service: FakeService, capfd: Captured
) -> None:
    async def work() -> None:
        async with service.engine.lease(WEB, "r-one", create=True) as lease:
            folder = await service.engine.check_out(lease)
            async with service.engine.stream(lease, "r-one") as stream:
                for number in (1, 2):
                    (folder / str(number)).write_text("x")
                    with anyio.fail_after(LONG_S):
                        while stream.status.commits < number:
                            await anyio.sleep(0.02)
            await service.engine.commit(lease, "r-one")

    anyio.run(work)
    assert hutch("volume", "log", "web", "--json") == 0
    assert len(json.loads(capfd.readouterr().out)) == 1
    assert hutch("volume", "log", "web", "--all", "--json") == 0
    every = json.loads(capfd.readouterr().out)
    assert len(every) > 1
    assert [each["while_running"] for each in every] == [False] + [True] * (len(every) - 1)


@pytest.mark.usefixtures("web")
def test_thinning_shows_what_would_go_and_asks_first(
    hutch: Hutch, service: FakeService, capfd: Captured
) -> None:
    counts = [
        word for each in ("last", "hourly", "daily", "weekly", "monthly") for word in (f"--{each}", "0")
    ]
    none = ["--keep-all", "0.000001s", *counts]
    assert hutch("volume", "tag", "web", "first", "--at", "1") == 0
    capfd.readouterr()
    assert hutch("volume", "thin", "web", *none, "--dry-run") == 0
    assert capfd.readouterr().err == "volume web: would let go of 1 snapshot (2)\n"
    assert hutch("volume", "thin", "web", *none) == 1
    assert capfd.readouterr().err.startswith("error: not_confirmed: ")
    assert len(anyio.run(service.volume_log, "web")) == 3
    assert hutch("volume", "thin", "web", *none, "--yes") == 0
    told = capfd.readouterr().err.splitlines()
    assert told == [
        "volume web: let go of 1 snapshot (2)",
        "what only they needed is freed, once it is a day old, by: hutch volume gc web",
    ]
    assert [each.snapshot for each in anyio.run(service.volume_log, "web")] == [3, 1]
    assert hutch("volume", "thin", "web") == 0
    assert capfd.readouterr().err == "volume web: let go of nothing\n"


@pytest.mark.usefixtures("web")
def test_young_garbage_is_left_alone(hutch: Hutch, capfd: Captured) -> None:
    assert hutch("volume", "rm", "web", "--yes") == 0
    capfd.readouterr()
    assert hutch("volume", "gc", "--yes") == 0
    assert capfd.readouterr().err.startswith("there is nothing to delete; what was stored within a day stays")
    assert hutch("volume", "bring-back", "web") == 0


@pytest.mark.usefixtures("web")
def test_stat_tells_what_is_held_and_what_it_costs(hutch: Hutch, capfd: Captured) -> None:
    assert hutch("volume", "tag", "web", "first", "--at", "1") == 0
    assert hutch("volume", "fork", "web", "try") == 0
    capfd.readouterr()
    assert hutch("volume", "stat", "web") == 0
    told = dict(line.split("  ", 1) for line in capfd.readouterr().out.splitlines())
    said = {name: value.strip() for name, value in told.items()}
    assert said["volume"] == "web"
    assert (said["files"], said["snapshots"], said["tags"], said["forks"]) == ("3", "3", "first (1)", "1")
    assert hutch("volume", "stat", "try", "--json") == 0
    assert json.loads(capfd.readouterr().out)["parent"] == "web"


@pytest.mark.usefixtures("web")
def test_names_of_volumes_are_completed(
    hutch: Hutch, capfd: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert hutch("volume", "fork", "web", "other") == 0
    capfd.readouterr()
    asked = {"_HUTCH_COMPLETE": "bash_complete", "COMP_WORDS": "hutch volume log w", "COMP_CWORD": "3"}
    for name, value in asked.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit):
        hutch()
    assert capfd.readouterr().out == "plain,web\n"
