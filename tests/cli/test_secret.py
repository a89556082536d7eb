"""`hutch secret`: the configuration changes in its own form, and no value is ever in it."""

import json
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

Hutch = Callable[..., int]
Captured = pytest.CaptureFixture[str]
MINE = """# mine
[policy]
networks = ["github"]   # for work

[network.tracker]
allow = ["tracker.example.org"]
"""
ADD = ("secret", "add", "tracker", "--from-env", "TOKEN", "--host", "tracker.example.org", "--bearer")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    made = tmp_path / ".config/hutch/config.toml"
    made.parent.mkdir(parents=True)
    made.write_text(MINE)
    made.chmod(0o640)
    return made


def test_a_secret_is_added_in_the_files_own_form_and_taken_out_again(
    hutch: Hutch, file: Path, capfd: Captured
) -> None:
    assert hutch(*ADD, "--env", "TOKEN", "--grant") == 0
    told = capfd.readouterr()
    assert "+[secrets.tracker]" in told.out
    assert "hutch stop --daemon" in told.err
    text = file.read_text()
    assert "# mine" in text
    assert "# for work" in text
    assert file.stat().st_mode & 0o777 == 0o640
    said = tomllib.loads(text)
    assert said["policy"] == {"networks": ["github"], "secrets": ["tracker"]}
    assert said["secrets"]["tracker"] == {
        "from_env": "TOKEN",
        "hosts": ["tracker.example.org"],
        "place": "bearer",
        "env": "TOKEN",
    }
    assert hutch("secret", "rm", "tracker") == 0
    assert tomllib.loads(file.read_text()) == tomllib.loads(MINE) | {
        "policy": {"networks": ["github"], "secrets": []}
    }
    assert hutch("secret", "rm", "tracker") == 1
    assert capfd.readouterr().err.splitlines()[-2].startswith("error: secret_unknown: ")


def test_a_placeholder_is_in_the_variable_that_the_value_came_from(
    hutch: Hutch, file: Path, capfd: Captured
) -> None:
    assert hutch(*ADD) == 0
    assert "--env" not in capfd.readouterr().err
    host = ("--host", "a.example.org", "--bearer")
    assert hutch("secret", "add", "other", "--from-file", "/token", *host) == 0
    assert "no variable inside has its placeholder" in capfd.readouterr().err
    assert hutch("secret", "add", "openai", "--from-env", "MINE", *host) == 0
    said = tomllib.loads(file.read_text())["secrets"]
    assert {name: one.get("env") for name, one in said.items()} == {
        "tracker": "TOKEN",
        "other": None,
        "openai": None,
    }


def test_every_way_to_say_where_from_and_where_to_is_understood(hutch: Hutch, file: Path) -> None:
    more = ("--header", "X-Key: token {}", "--query", "k", "--basic", "--method", "GET", "--path", "/v1/*")
    host = ("--host", "http://127.0.0.1:8787")
    assert hutch("secret", "add", "a", "--from-command", "op read 'a b'", *host, *more, "--like", "k-") == 0
    assert hutch("secret", "add", "b", "--from-keyring", "hutch/me", *host, "--bearer", "--check", "/me") == 0
    said = tomllib.loads(file.read_text())["secrets"]
    assert said["a"]["from_command"] == ["op", "read", "a b"]
    assert said["a"]["place"] == ["header X-Key: token {}", "query k", "basic"]
    assert said["b"] == {
        "from_keyring": "hutch/me",
        "hosts": ["http://127.0.0.1:8787"],
        "place": "bearer",
        "check": "/me",
    }


@pytest.mark.parametrize(
    "words",
    [
        ("--from-env", "A", "--host", "h.example.org"),
        ("--host", "h.example.org", "--bearer"),
        ("--from-env", "A", "--from-file", "/a", "--host", "h.example.org", "--bearer"),
        ("--from-env", "A", "--host", "*.com", "--bearer"),
        ("--from-env", "A", "--host", "h.example.org", "--header", "X: y"),
    ],
)
def test_what_would_make_no_secret_leaves_the_file_as_it_is(
    hutch: Hutch, file: Path, words: tuple[str, ...]
) -> None:
    assert hutch("secret", "add", "tracker", *words) == 1
    assert file.read_text() == MINE


def test_a_dry_run_shows_and_changes_nothing(hutch: Hutch, file: Path, capfd: Captured) -> None:
    assert hutch(*ADD, "--dry-run") == 0
    assert "+[secrets.tracker]" in capfd.readouterr().out
    assert file.read_text() == MINE


def test_without_a_configuration_the_users_own_is_begun(hutch: Hutch, tmp_path: Path) -> None:
    assert hutch(*ADD) == 0
    made = tmp_path / ".config/hutch/config.toml"
    assert "tracker" in tomllib.loads(made.read_text())["secrets"]
    assert made.stat().st_mode & 0o777 == 0o600


def test_the_secrets_are_listed_with_who_may_use_them(hutch: Hutch, capfd: Captured) -> None:
    hutch(*ADD, "--grant")
    capfd.readouterr()
    assert hutch("secret", "ls") == 0
    lines = {line.split()[0]: line for line in capfd.readouterr().out.splitlines()}
    assert lines["anthropic"].split()[1:] == [
        "$ANTHROPIC_API_KEY",
        "api.anthropic.com:443",
        *["header", "x-api-key", "claude,", "opencode"],
    ]
    assert lines["tracker"].endswith("callers")
    assert hutch("secret", "ls", "--json") == 0
    assert {row["name"] for row in json.loads(capfd.readouterr().out)} >= {"tracker", "openai", "github"}


def test_a_check_ends_with_whether_it_works(hutch: Hutch, capfd: Captured) -> None:
    assert hutch("secret", "check", "good", "--path", "/me") == 0
    assert capfd.readouterr().out == "https://host/me: 200 with it, 401 without: so it is\n"
    assert hutch("secret", "check", "bad") == 1
    assert hutch("secret", "check", "other") == 1
