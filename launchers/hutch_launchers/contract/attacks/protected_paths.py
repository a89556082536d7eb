"""Attacks on what the host would run by itself, in a workspace that may be written."""

import os
import subprocess
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from hutch_launchers.contract.attacks.inside import (
    HOME,
    Absent,
    Contained,
    Missed,
    allowed,
    attack,
    workspace,
)

_ABSENT = (
    ".codex/config.toml",
    ".agents/x",
    ".mcp.json",
    ".idea/x.xml",
    ".husky/pre-commit",
    ".bashrc",
    ".zshrc",
)
_PRESENT = (".claude/settings.json", ".claude/hooks.json", ".envrc", "deep/er/.vscode/tasks.json")
_GIT = (".git/hooks/pre-commit", ".git/config", ".git/commondir")
_POINTERS = ("sub/.git", ".git/modules/sub/hooks/post-checkout", ".git/modules/sub/config")
_PARENTS = (
    ".git",
    ".git/hooks",
    ".git/modules",
    ".git/modules/sub",
    "deep",
    "deep/er",
    "deep/er/.vscode",
    "sub",
    ".claude",
)
_SETTINGS = (
    ("core.hooksPath", "/tmp"),
    ("core.fsmonitor", "/tmp/x"),
    ("include.path", "../evil"),
    ("alias.st", "!x"),
)


def _ways(path: str) -> Iterator[tuple[str, Callable[[], object]]]:
    """Every way to put something of ours at a path, or to take away what is there."""
    other = workspace(f"other-{os.getpid()}")
    Path(other).write_text("bad")
    yield "write", partial(Path(path).write_text, "bad")
    yield "append", partial(_append, path)
    yield "make", partial(os.open, path, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    yield "make a folder", partial(os.makedirs, path)
    yield "truncate", partial(os.truncate, path, 0)
    yield "rename over", partial(os.rename, other, path)
    yield "link over", partial(os.link, other, path)
    yield "make a link", partial(os.symlink, "/tmp", path)
    yield "exchange", partial(os.replace, other, path)
    yield "rename away", partial(os.rename, path, workspace(f"away-{os.getpid()}"))
    yield "remove", partial(os.unlink, path)
    yield "remove its folder", partial(os.rmdir, path)
    yield "change its mode", partial(os.chmod, path, 0o777)


def _append(path: str) -> None:
    with open(path, "a") as file:
        file.write("bad")


def _none_of(names: tuple[str, ...]) -> str | None:
    tried = 0
    for name in names:
        for way, do in _ways(workspace(name)):
            tried += 1
            try:
                do()
            except OSError:
                continue
            return f"{way}: {name}"
    raise Contained(f"{tried} ways are refused")


@attack("protected/absent")
def plant_what_was_not_there() -> str | None:
    return _none_of(_ABSENT)


@attack("protected/absent")
def put_a_link_in_its_place() -> str | None:
    for name in {name.partition("/")[0] for name in _ABSENT}:
        for do in (os.rmdir, os.unlink, partial(os.rename, dst=workspace("gone"))):
            try:
                do(workspace(name))
            except OSError:
                continue
            return name
    raise Contained("none can be taken away")


@attack("protected/present")
def change_what_is_there() -> str | None:
    return _none_of(_PRESENT)


@attack("protected/present")
def change_it_by_another_name() -> None:
    os.link(workspace(".envrc"), workspace("another"))


@attack("protected/git")
def plant_into_git() -> str | None:
    return _none_of(_GIT)


@attack("protected/git")
def let_git_itself_configure() -> str | None:
    for key, value in _SETTINGS:
        ended = _git("config", key, value)
        if ended.returncode == 0:
            return key
    raise Contained("git cannot write its configuration")


@attack("protected/git")
def configure_by_a_worktree() -> str | None:
    _git("config", "extensions.worktreeConfig", "true")
    if _git("config", "--worktree", "core.fsmonitor", "/tmp/x").returncode == 0:
        return "core.fsmonitor"
    raise Contained("refused")


@attack("protected/pointers")
def lead_git_elsewhere() -> str | None:
    return _none_of(_POINTERS)


@attack("protected/parents")
def rename_a_folder_above() -> str | None:
    for name in _PARENTS:
        try:
            os.rename(workspace(name), workspace("moved"))
        except OSError:
            continue
        return name
    raise Contained(f"{len(_PARENTS)} folders stay")


@attack("protected/parents")
def remove_and_make_again() -> str | None:
    doomed = [workspace(name) for name in ("deep", "sub", ".claude")]
    subprocess.run(["rm", "-rf", *doomed], capture_output=True, check=False)
    for name in ("deep/er/.vscode/tasks.json", ".claude/settings.json"):
        if not os.path.exists(workspace(name)):
            return name
    raise Contained("what is protected is there still, and so are the folders above it")


@allowed("protected/absent")
@allowed("protected/present")
@allowed("protected/pointers")
@allowed("protected/parents")
def the_workspace_is_written() -> None:
    for name in ("new", "new-folder/file", "deep/file", "sub/file", "deep/er/file"):
        path = Path(workspace(name))
        path.parent.mkdir(exist_ok=True)
        path.write_text("x")
        path.write_text("y")
        path.rename(f"{path}.renamed")


@allowed("protected/git")
def git_works() -> None:
    if not any(os.path.exists(f"{folder}/git") for folder in ("/usr/bin", "/usr/local/bin")):
        raise Absent("there is no git inside")
    for words in (
        ["add", "README"],
        ["commit", "-qm", "one"],
        ["branch", "topic"],
        ["switch", "-q", "topic"],
    ):
        _must(*words)
    Path(workspace("README")).write_text("two\n")
    for words in (["stash", "-q"], ["stash", "pop", "-q"], ["add", "README"], ["commit", "-qm", "two"]):
        _must(*words)


def _must(*words: str) -> None:
    ended = _git(*words)
    if ended.returncode:
        raise Missed(f"git {words[0]}: {ended.stderr[-200:]}")


def _git(*words: str) -> "subprocess.CompletedProcess[str]":
    who = {f"GIT_{one}_{what}": "a@b" for one in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    safe = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "safe.directory", "GIT_CONFIG_VALUE_0": "*"}
    env = {"PATH": os.environ["PATH"], "HOME": HOME, **who, **safe}
    return subprocess.run(
        ["git", "-C", workspace(), *words], env=env, capture_output=True, text=True, check=False
    )
