"""What is denied is found, whatever its name and that of the folder that it is in."""

from pathlib import Path, PurePath

import pytest

from hutch.config import Config, parse
from hutch.errors import HutchError
from hutch.mounts import WORKSPACE
from hutch.runs.planning.denied import masks
from hutch.runs.planning.patterns import found
from hutch_launchers.spec import Mount


def config(tmp_path: Path, denied: str = "") -> Config:
    return parse(f"[policy]\ndenied = [{denied}]\n", {"HOME": str(tmp_path / "home")})


def hidden(folder: Path, patterns: list[str], *, denied: str = "") -> set[str]:
    """Of a workspace, whose repository says these patterns."""
    said = [(folder, pattern) for pattern in patterns]
    mounts = masks(config(folder.parent, denied), [Mount(folder, WORKSPACE)], said)
    return {str(mount.target.relative_to(WORKSPACE)) for mount in mounts}


def made(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).mkdir(parents=True)
    return folder


@pytest.mark.parametrize("name", ["data[1]", "[slug]", "what?", "new\nline", ".hidden"])
def test_no_sign_but_the_star_means_anything(tmp_path: Path, name: str) -> None:
    folder = made(tmp_path / "work", name, f"in/{name}", "data1", "whatx")
    assert hidden(folder, [name, f"*/{name}"]) == {name, f"in/{name}"}
    assert hidden(folder, [], denied=f"'''{folder}/{name}'''") == {name}


@pytest.mark.parametrize("name", ["p[x]", "p*", "p?", "**"])
def test_the_name_of_the_workspace_is_no_pattern(tmp_path: Path, name: str) -> None:
    folder = made(tmp_path / name, "secrets")
    made(tmp_path / "px", "secrets")
    assert hidden(folder, ["secrets", "s*"]) == {"secrets"}


def test_a_star_stands_for_no_slash(tmp_path: Path) -> None:
    made(tmp_path, "a/b/key", "a/key", "key")
    assert set(found(tmp_path, PurePath("*/key"))) == {tmp_path / "a/key"}
    assert set(found(tmp_path, PurePath("*"))) == {tmp_path / "a", tmp_path / "key"}


def test_a_link_that_a_sandbox_left_refuses_no_run(tmp_path: Path) -> None:
    folder = made(tmp_path / "work", "real")
    for name, target in ((".env1", ".env1"), (".env2", "nowhere"), (".env3", "."), (".env4", "/")):
        (folder / name).symlink_to(target)
    (folder / ".env5").symlink_to("real")
    assert hidden(folder, [".env*"]) == {"real"}


def test_a_part_of_a_repository_shows_nothing_that_its_whole_hides(tmp_path: Path) -> None:
    folder = made(tmp_path / "work", "sub/private/in")
    mounts = masks(config(tmp_path), [Mount(folder / "sub", WORKSPACE)], [(folder, "sub/private")])
    assert [mount.target for mount in mounts] == [WORKSPACE / "private"]
    with pytest.raises(HutchError) as refused:
        masks(config(tmp_path), [Mount(folder / "sub/private/in", WORKSPACE)], [(folder, "sub/private")])
    assert refused.value.code == "path_denied"


def test_two_stars_in_a_row_are_refused(tmp_path: Path) -> None:
    with pytest.raises(HutchError) as refused:
        config(tmp_path, '"/srv/**/key"')
    assert "without" in refused.value.message
