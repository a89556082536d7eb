"""Instructions and skills of this host: what is read of them, and what is refused."""

import os
from pathlib import Path

import pytest

from hutch.agents import read_instructions, read_skills
from hutch.errors import HutchError


def skill(folder: Path, text: str = "Sweep.") -> Path:
    (folder / "more").mkdir(parents=True)
    (folder / "SKILL.md").write_text(text)
    (folder / "more/list.txt").write_text("a\n")
    return folder


def test_a_folder_is_a_skill_or_holds_some(tmp_path: Path) -> None:
    one = skill(tmp_path / "all/tidy")
    skill(tmp_path / "all/test", "Test.")
    (tmp_path / "all/no skill").mkdir()
    tidy = {"SKILL.md": "Sweep.", "more/list.txt": "a\n"}
    assert read_skills(one) == {"tidy": tidy}
    assert read_skills(tmp_path / "all") == {"tidy": tidy, "test": {**tidy, "SKILL.md": "Test."}}
    assert read_skills(tmp_path) == {}


def test_what_was_named_may_be_a_link_and_nothing_in_it(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(skill(tmp_path / "tidy"))
    assert list(read_skills(tmp_path / "link")) == ["tidy"]
    (tmp_path / "how").symlink_to(tmp_path / "tidy/SKILL.md")
    assert read_instructions(tmp_path / "how") == "Sweep."
    (tmp_path / "secret").write_text("key")
    (tmp_path / "tidy/more/out").symlink_to(tmp_path / "secret")
    with pytest.raises(HutchError, match="more/out is a link") as refused:
        read_skills(tmp_path / "tidy")
    assert refused.value.code == "given_invalid"


def test_what_is_no_text_or_not_there_is_refused(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    os.mkfifo(tmp_path / "pipe")
    with (tmp_path / "large").open("wb") as file:
        file.truncate((16 << 20) + 1)
    for name, why in {
        "binary": "is not UTF-8",
        "pipe": "not a regular",
        "large": "larger than",
        "gone": "No such",
    }.items():
        with pytest.raises(HutchError, match=why):
            read_instructions(tmp_path / name)


def test_too_many_files_are_refused(tmp_path: Path) -> None:
    many = skill(tmp_path / "tidy")
    for n in range(1001):
        (many / f"more/{n}").touch()
    with pytest.raises(HutchError, match="more than 1000 files"):
        read_skills(many)
