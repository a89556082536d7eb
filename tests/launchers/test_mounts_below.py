"""A read-only mount is read-only as a whole: also where something else of the host is mounted below it."""

import os
import subprocess
from collections.abc import Generator
from pathlib import Path, PurePosixPath

import pytest

from hutch_launchers.spec import Mount
from support.launcher_methods import available, code, run, sh, spec
from support.needs import need

WORK = PurePosixPath("/workspace")


@pytest.fixture
def folder(tmp_path: Path) -> Generator[Path]:
    """A folder with another file system in it."""
    need("root", os.geteuid() == 0, "the right to mount", "run the tests as root")
    below = tmp_path / "with a space" / "below"
    below.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "none", str(below)], check=True)
    yield below.parent
    subprocess.run(["umount", str(below)], check=True)


@pytest.mark.parametrize("method", ["bubblewrap", "firejail", "landlock", "nsjail"])
async def test_what_is_mounted_below_a_read_only_mount_is_only_read(method: str, folder: Path) -> None:
    launcher = await available(method)
    (folder / "below/given").write_text("ours")
    script = (
        "cat below/given; touch below/made 2>/dev/null && echo made; touch made 2>/dev/null && echo made; :"
    )
    done = await run(launcher, spec(sh(script, cwd=str(WORK)), mounts=(Mount(folder, WORK),)))
    assert (done.status, done.text) == (code(0), "ours")


@pytest.mark.parametrize("method", ["bubblewrap", "firejail", "landlock", "nsjail"])
async def test_a_writable_mount_is_written_to(method: str, folder: Path) -> None:
    launcher = await available(method)
    script = "echo theirs > below/made; echo theirs > made"
    await run(launcher, spec(sh(script, cwd=str(WORK)), mounts=(Mount(folder, WORK, writable=True),)))
    assert [(folder / name).read_text() for name in ("below/made", "made")] == ["theirs\n", "theirs\n"]
