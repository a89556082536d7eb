"""Where the configuration is, and what it leaves to the host's conventions."""

import os
from pathlib import Path

import pytest

from hutch.config import assert_nobody_elses, find, load, own_folder, parse, salvage
from hutch.errors import HutchError
from support.configured import ENV, refusal


def test_the_xdg_folders_are_honoured_and_relative_ones_ignored() -> None:
    env = {
        "HOME": "/home/ada",
        "XDG_STATE_HOME": "/s p",
        "XDG_CACHE_HOME": "cache",
        "XDG_RUNTIME_DIR": "/run/user/7",
    }
    config = parse("", env)
    assert (config.daemon.state, config.daemon.cache, config.daemon.socket) == (
        Path("/s p/hutch"),
        Path("/home/ada/.cache/hutch"),
        Path("/run/user/7/hutch/hutch.sock"),
    )
    assert config.storage.url == "file:///s%20p/hutch/store"


def test_a_home_is_needed_only_where_nothing_else_says_the_place() -> None:
    places = 'state = "/s"\ncache = "/c"'
    assert parse(f"[daemon]\n{places}", {}).daemon.socket == Path("/s/hutch.sock")
    assert refusal("", {})[0] == "HOME is not set"


def test_a_named_file_must_exist_and_be_readable(tmp_path: Path) -> None:
    with pytest.raises(HutchError) as caught:
        load(None, {**ENV, "HUTCH_CONFIG": str(tmp_path / "absent.toml")})
    assert caught.value.code == "config_missing"
    with pytest.raises(HutchError) as caught:
        load(tmp_path, ENV)
    assert caught.value.code == "config_invalid"
    (tmp_path / "odd.toml").write_bytes(b"\xff")
    with pytest.raises(HutchError) as caught:
        load(tmp_path / "odd.toml", ENV)
    assert caught.value.code == "config_invalid"


def test_the_user_s_own_file_is_found_and_none_is_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    env = {"HOME": str(tmp_path)}
    assert find(env, is_root=False) is None
    file = tmp_path / ".config" / "hutch" / "config.toml"
    file.parent.mkdir(parents=True)
    file.write_text("[policy]\nmax_volumes = 1")
    assert find(env, is_root=True) == file
    assert load(None, env).policy.max_volumes == 1
    assert load(None, env).file == file
    monkeypatch.chdir(file.parent)
    assert load(Path("config.toml"), env).file == file  # absolute: it is passed on to a daemon
    assert find({**env, "XDG_CONFIG_HOME": str(tmp_path / "x")}, is_root=False) is None


def test_of_a_configuration_that_cannot_be_used_the_daemon_s_places_are_left(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    for broken in ("[policy\n", "[policy]\nno_such_key = 1\n", "[storage]\nurl = 7\n"):
        file.write_text(f'[daemon]\nstate = "~/s"\nsocket = "/run/h.sock"\nlisten = "x"\n{broken}')
        left = salvage(file, ENV).daemon
        assert (left.state, left.socket) == (Path("/home/ada/s"), Path("/run/h.sock"))
    file.write_bytes(b"\xff[daemon")
    assert salvage(file, ENV).daemon == parse("", ENV).daemon
    assert salvage(tmp_path / "absent.toml", ENV).daemon == parse("", ENV).daemon
    file.write_text('[daemon]\nstate = 7\nsocket = "here.sock"\n')
    assert salvage(file, ENV).daemon == parse("", ENV).daemon
    file.write_text("daemon = 7")
    assert salvage(file, ENV).daemon == parse("", ENV).daemon


def test_a_folder_that_others_may_change_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = own_folder(tmp_path / "new" / "state")
    assert made.stat().st_mode & 0o777 == 0o700
    assert own_folder(made) == made
    made.chmod(0o777)
    with pytest.raises(HutchError, match="can be changed by everybody") as refused:
        own_folder(made)
    assert refused.value.code == "folder_unsafe"
    given_away(made, monkeypatch)
    with pytest.raises(HutchError, match="is that of user"):
        own_folder(made)


def test_a_socket_of_somebody_else_is_not_spoken_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state, run = tmp_path / "state", tmp_path / "run"
    run.mkdir()
    assert_nobody_elses(run / "hutch.sock", state)
    (run / "hutch.sock").touch()
    given_away(run / "hutch.sock", monkeypatch)
    with pytest.raises(HutchError, match="is that of user") as refused:
        assert_nobody_elses(run / "hutch.sock", state)
    assert refused.value.code == "folder_unsafe"
    state.mkdir()
    given_away(state, monkeypatch)
    assert_nobody_elses(run / "hutch.sock", state)


def given_away(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """To a stranger; or we become one."""
    if os.geteuid() == 0:
        os.chown(path, 4321, 4321)
    else:
        stranger = path.stat().st_uid + 1
        monkeypatch.setattr(os, "geteuid", lambda: stranger)
