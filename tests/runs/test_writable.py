"""A folder that every sandbox may write holds nothing that the host runs or obeys."""

from pathlib import Path

import pytest

from hutch.config.protected import PROTECTED
from hutch.errors import HutchError
from hutch.runs.planning.writable import refuse_unprotected


@pytest.mark.parametrize(
    ("made", "granted"),
    [
        (".git/", ""), ("app/.git", ""), (".vscode/tasks.json", ""), (".bashrc", ""), (".hg/hgrc", ""),
        (".git/hooks/", ".git/hooks"), (".claude/x/", ".claude/x"),
    ],
)  # fmt: skip
def test_one_that_does_is_refused(tmp_path: Path, made: str, granted: str) -> None:
    path = tmp_path / made
    (path if made.endswith("/") else path.parent).mkdir(parents=True, exist_ok=True)
    if not made.endswith("/"):
        path.touch()
    with pytest.raises(HutchError) as refused:
        refuse_unprotected([tmp_path / granted], PROTECTED)
    assert refused.value.code == "path_denied"


def test_a_bare_repository_is_refused_also_through_a_link(tmp_path: Path) -> None:
    for name in ("HEAD", "objects", "refs"):
        (tmp_path / "bare" / name).mkdir(parents=True)
    (tmp_path / "link").symlink_to("bare")
    with pytest.raises(HutchError):
        refuse_unprotected([tmp_path / "link"], PROTECTED)


def test_a_cache_is_granted(tmp_path: Path) -> None:
    (tmp_path / "pip/wheels").mkdir(parents=True)
    refuse_unprotected([tmp_path, tmp_path / "gone"], PROTECTED)
