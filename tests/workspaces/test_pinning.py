"""A folder above a workspace that becomes a link, or another folder, leads nowhere."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path, PurePosixPath

import pytest

from hutch.errors import HutchError
from hutch.workspaces import Placeholders
from hutch.workspaces.pinning import pinned
from hutch.workspaces.review.reviews import Reviews
from hutch_launchers.launcher import LauncherError
from hutch_launchers.sources import open_sources
from hutch_launchers.spec import Mount
from hutch_mcp_tools.service import ServiceError
from support.daemon import output, run
from support.workspace_house import GIT, House


@pytest.fixture
def app(tmp_path: Path) -> Path:
    """A workspace two folders below its granted root, and a folder of the same name that is not granted."""
    for folder in ("src/mid/app", "outside/app"):
        (tmp_path / folder).mkdir(parents=True)
    return tmp_path / "src/mid/app"


def swap(app: Path) -> None:
    """Put a link in the place of the folder above."""
    mid = app.parent
    mid.rename(mid.with_name("away"))
    mid.symlink_to(mid.parent.parent / "outside")


def swap_back(app: Path) -> None:
    mid = app.parent
    mid.unlink()
    mid.with_name("away").rename(mid)


def test_no_link_below_the_granted_root_is_followed_and_its_own_are(app: Path) -> None:
    source = app.parent.parent
    alias = source.with_name("alias")
    alias.symlink_to(source)
    with pinned(alias / "mid/app", [alias / "mid", alias]) as held:
        assert held.identity == (app.stat().st_dev, app.stat().st_ino)
    for roots in ([], [app.parent.parent]):
        with pytest.raises(HutchError) as refused, pinned(alias / "mid/app", roots):
            pass
        assert refused.value.code == "workspace_denied"
    swap(app)
    with pytest.raises(HutchError) as refused, pinned(app, [source]):
        pass
    assert refused.value.code == "workspace_denied"


def test_what_was_another_folder_for_a_moment_is_noticed(app: Path) -> None:
    roots = [app.parent.parent]
    with pinned(app, roots, watches=True) as held:
        (app.parent / "beside").mkdir()
        held.refuse_moved()
    with pinned(app, roots, watches=True) as held:
        swap(app)
        swap_back(app)
        with pytest.raises(HutchError) as refused:
            held.refuse_moved()
    assert refused.value.code == "workspace_denied"


def test_placeholders_are_made_in_the_folder_that_is_held_and_removed_beneath_its_root(app: Path) -> None:
    roots = [app.parent.parent]
    (app / ".git").mkdir()
    placeholders = Placeholders(app.parents[2] / "state", roots)
    with pinned(app, roots) as held, placeholders.used("r-1", held):
        swap(app)
        placeholders.make("r-1", {app / ".claude": None, app / ".git/commondir": b".\n"}, held)
        assert sorted(path.name for path in held.here.iterdir()) == [".claude", ".git"]
        assert (held.here / ".git/commondir").read_bytes() == b".\n"
        outside = app.parents[2] / "outside/app"
        assert not list(outside.iterdir())
        (outside / ".claude").mkdir()
    assert [path.name for path in outside.iterdir()] == [".claude"]
    swap_back(app)
    placeholders.sweep()
    assert [path.name for path in app.rglob("*")] == [".git"]


def test_another_folder_is_not_mounted_in_its_place(app: Path) -> None:
    with pinned(app, [app.parent.parent]) as held, ExitStack() as stack:
        mount = Mount(app, PurePosixPath("/workspace"), writable=True, identity=held.identity)
        assert len(open_sources([mount], stack)) == 1
        swap(app)
        with pytest.raises(LauncherError, match="another file came to be"):
            open_sources([mount], stack)


def test_a_review_of_a_folder_that_was_exchanged_changes_nothing_elsewhere(app: Path) -> None:
    (app / "a").write_text("one")
    reviews = Reviews(app.parents[2] / "reviews", [app.parent.parent])
    review = reviews.open("r-1", app, overlays=False, most_bytes=1000, say=print)
    swap(app)
    with pytest.raises(HutchError) as refused, reviews.real(review):
        pass
    assert refused.value.code == "workspace_denied"


_TRIES = """cat f; git log --format=%s
{ echo bad > new; mkdir -p .claude/x; } 2>/dev/null; true"""
_SWAP = """
import ctypes, os, random, sys, time
call = ctypes.CDLL(None).renameat2
one, other = (os.fsencode(word) for word in sys.argv[1:])
print(flush=True)
while True:
    call(-100, one, -100, other, 2)
    time.sleep(random.random() * float(os.environ["LONGEST_S"]))
"""


@contextmanager
def swapped_without_end(one: Path, other: Path, longest_s: float) -> Iterator[None]:
    """Exchange two names as fast as it goes, or after a moment each time."""
    words = [sys.executable, "-I", "-S", "-c", _SWAP, str(one), str(other)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, env={"LONGEST_S": str(longest_s)}) as swapper:
        try:
            assert swapper.stdout is not None
            swapper.stdout.readline()
            yield
        finally:
            swapper.kill()


@pytest.mark.parametrize("mode", ["ro", "rw", "review", "worktree"])
async def test_a_folder_that_becomes_a_link_and_back_without_end_shows_nothing(
    here: House, mode: str
) -> None:
    app, outside = here.folder / "mid/app", here.folder.parent.parent / "outside"
    link = here.folder / "link"
    subprocess.run(["rm", "-rf", str(outside)], check=True)
    for folder, text in ((app, "mine"), (outside / "app", "secret")):
        folder.mkdir(parents=True)
        (folder / "f").write_text(text)
        subprocess.run(["chown", "-R", str(here.who.uid), str(folder.parent)], check=True)
        here.git("init", "-q", "-b", "main", at=folder)
        here.git("add", "f", at=folder)
        here.git("commit", "-qm", text, at=folder)
    link.symlink_to(outside)
    before = {str(path): path.lstat().st_mtime_ns for path in outside.rglob("*")}
    seen: set[str] = set()
    for n in range(16):
        with swapped_without_end(app.parent, link, (0, 0.005, 0.05, 0.5)[n % 4]):
            seen.add(await _tried(here, app, mode))
    assert not [text for text in seen if "secret" in text], seen
    if app.parent.is_symlink():
        app.parent.unlink()
        link.rename(app.parent)
    assert "mine" in await _tried(here, app, mode)
    assert {str(path): path.lstat().st_mtime_ns for path in outside.rglob("*")} == before


async def _tried(here: House, app: Path, mode: str) -> str:
    """All that a run shows, or why there is none."""
    try:
        record = await run(here.client, _TRIES, workspace=f"{app}:{mode}", cwd="/workspace", env=GIT)
    except ServiceError as error:
        return error.message
    return "\n".join([*await output(here.client, record), record.reason, str(record.workspace)])
