"""A volume's own word about its conversation, which the sandbox may have written to harm the host."""

import json
import os
from pathlib import Path

import pytest

from hutch.agents import (
    Agent,
    ClaudeCode,
    Codex,
    Gemini,
    StoredSession,
    beneath,
    find_session,
    give,
    read_session,
    write_session,
)
from hutch.agents.stored import new_uuid
from hutch.errors import HutchError

ID = "11111111-2222-4333-8444-555555555555"
AGENT = ClaudeCode(Path("/srv/claude"))


def transcript(folder: Path, session_id: str, project: str = "-workspace") -> Path:
    path = folder / ".hutch" / "claude" / "projects" / project / f"{session_id}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text('{"type":"user"}\n')
    return path


def claim(folder: Path, content: bytes) -> None:
    (folder / ".hutch").mkdir(exist_ok=True)
    (folder / ".hutch" / "session.json").write_bytes(content)


def test_what_was_written_is_read(tmp_path: Path) -> None:
    write_session(tmp_path, StoredSession("claude", ID))
    assert read_session(tmp_path) == StoredSession("claude", ID)
    assert (tmp_path / ".hutch" / ".gitignore").read_text() == "*\n"
    write_session(tmp_path, StoredSession("claude", other := new_uuid()))
    assert read_session(tmp_path) == StoredSession("claude", other)
    assert sorted(path.name for path in (tmp_path / ".hutch").iterdir()) == [".gitignore", "session.json"]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[1]",
        b"null",
        b"\xff",
        b"[" * 4000,
        json.dumps({"format": 1, "agent": "claude", "session_id": "--resume"}).encode(),
        json.dumps({"format": 1, "agent": "claude", "session_id": ID + "\n"}).encode(),
        json.dumps({"format": 1, "agent": "claude", "session_id": [ID]}).encode(),
        json.dumps({"format": 1, "agent": "../x", "session_id": ID}).encode(),
        json.dumps({"format": 1, "agent": 7, "session_id": ID}).encode(),
        json.dumps({"format": 2, "agent": "claude", "session_id": ID}).encode(),
        json.dumps({"format": 1, "agent": "claude", "session_id": ID}).encode() + b" " * 5000,
    ],
)
def test_a_claim_that_is_not_ours_in_form_is_no_session(tmp_path: Path, content: bytes) -> None:
    claim(tmp_path, content)
    assert read_session(tmp_path) is None


def test_no_link_is_followed_to_read_it(tmp_path: Path) -> None:
    outside, volume = tmp_path / "outside", tmp_path / "volume"
    outside.mkdir()
    volume.mkdir()
    write_session(outside, StoredSession("claude", ID))
    transcript(outside, ID)
    (volume / ".hutch").symlink_to(outside / ".hutch")
    assert (read_session(volume), AGENT.sessions(volume)) == (None, ())
    (volume / ".hutch").unlink()
    (volume / ".hutch" / "claude").mkdir(parents=True)
    (volume / ".hutch" / "session.json").symlink_to(outside / ".hutch" / "session.json")
    (volume / ".hutch" / "claude" / "projects").symlink_to(outside / ".hutch" / "claude" / "projects")
    assert (read_session(volume), AGENT.sessions(volume)) == (None, ())


@pytest.mark.parametrize(
    ("agent", "below"),
    [
        (AGENT, "claude/projects/a"),
        (Codex(Path("/codex")), "codex/sessions/2026/11/21"),
        (Gemini(Path("/gemini"), Path("/node")), "gemini/.gemini/tmp/a/chats"),
    ],
)
def test_folders_without_end_are_refused_and_not_read_in_part(
    tmp_path: Path, agent: Agent, below: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(beneath, "_MOST_ENTRIES", 50)
    folder = tmp_path / ".hutch" / below
    folder.mkdir(parents=True)
    for number in range(60):
        (folder / str(number)).touch()
    with pytest.raises(HutchError, match="too many files") as raised:
        agent.sessions(tmp_path)
    assert raised.value.code == "volume_state_invalid"


def test_a_pipe_in_its_place_holds_nobody(tmp_path: Path) -> None:
    (tmp_path / ".hutch").mkdir()
    os.mkfifo(tmp_path / ".hutch" / "session.json")
    assert read_session(tmp_path) is None
    write_session(tmp_path, StoredSession("claude", ID))
    assert read_session(tmp_path) == StoredSession("claude", ID)


def test_a_link_in_its_place_is_replaced_and_its_target_is_not_touched(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("mine")
    (tmp_path / ".hutch").mkdir()
    for name in ("session.json", ".gitignore"):
        (tmp_path / ".hutch" / name).symlink_to(outside)
    write_session(tmp_path, StoredSession("claude", ID))
    assert outside.read_text() == "mine"
    assert read_session(tmp_path) == StoredSession("claude", ID)


@pytest.mark.parametrize("kind", ["link", "dangling link", "file"])
def test_something_else_in_place_of_the_folder_is_an_error_to_read(tmp_path: Path, kind: str) -> None:
    outside, state = tmp_path / "outside", tmp_path / "volume" / ".hutch"
    state.parent.mkdir()
    if kind == "link":
        outside.mkdir()
    if kind == "file":
        state.write_text("x")
    else:
        state.symlink_to(outside)
    with pytest.raises(HutchError) as refused:
        write_session(state.parent, StoredSession("claude", ID))
    assert refused.value.code == "volume_state_invalid"
    assert (
        refused.value.hint
        == "something in the sandbox replaced it; remove it there: rm -rf /workspace/.hutch"
    )
    assert not outside.exists() or list(outside.iterdir()) == []


def test_the_conversation_that_the_volume_names_is_resumed(tmp_path: Path) -> None:
    transcript(tmp_path, ID)
    transcript(tmp_path, new_uuid())
    write_session(tmp_path, StoredSession("claude", ID))
    assert find_session(tmp_path, AGENT) == StoredSession("claude", ID)


def test_the_only_transcript_is_resumed_when_the_volume_names_none(tmp_path: Path) -> None:
    transcript(tmp_path, ID)
    assert find_session(tmp_path, AGENT) == StoredSession("claude", ID)
    write_session(tmp_path, StoredSession("claude", new_uuid()))  # its transcript never came to be
    assert find_session(tmp_path, AGENT) == StoredSession("claude", ID)


def test_of_several_transcripts_none_is_guessed(tmp_path: Path) -> None:
    old, new = transcript(tmp_path, ID), transcript(tmp_path, other := new_uuid(), "-elsewhere")
    os.utime(old, (1, 1))
    os.utime(new, (2, 2))
    assert AGENT.sessions(tmp_path) == (other, ID)
    assert find_session(tmp_path, AGENT) is None


def test_what_only_looks_like_a_transcript_is_none(tmp_path: Path) -> None:
    project = transcript(tmp_path, ID).parent
    (project / f"{ID}.jsonl").unlink()
    (project / f"{ID}.jsonl").symlink_to("/etc/passwd")
    (project / f"{new_uuid()}.jsonl").touch()
    (project / "--resume.jsonl").write_text("x")
    (project / f"{new_uuid()}.jsonl").mkdir()
    os.mkfifo(project / f"{new_uuid()}.jsonl")
    assert AGENT.sessions(tmp_path) == ()
    assert find_session(tmp_path, AGENT) is None


def test_an_empty_volume_has_no_conversation(tmp_path: Path) -> None:
    assert find_session(tmp_path, AGENT) is None


def test_a_turn_is_given_its_files(tmp_path: Path) -> None:
    give(tmp_path, {"instructions.md": b"a", ".claude/skills/s/SKILL.md": b"b"})
    files = {path.relative_to(tmp_path).as_posix(): path.read_bytes() for path in tmp_path.rglob("*.md")}
    assert files == {"instructions.md": b"a", ".claude/skills/s/SKILL.md": b"b"}
