"""A writable workspace with protected paths, mounted as a daemon does: each read-only over itself."""

import subprocess
from collections.abc import Mapping
from pathlib import Path

from hutch_launchers.contract.bench import WORKSPACE
from hutch_launchers.spec import Mount

# what is there before the start: its content, or None for a folder
PRESENT: Mapping[str, str | None] = {
    ".claude/settings.json": "{}",
    ".envrc": "echo fine\n",
    "deep/er/.vscode/tasks.json": "{}",
    "sub/.git": "gitdir: ../.git/modules/sub\n",
    ".git/modules/sub/config": "[core]\n\tbare = false\n",
    ".git/modules/sub/HEAD": "ref: refs/heads/main\n",
    ".git/modules/sub/hooks": None,
    ".git/modules/sub/objects": None,
    ".git/modules/sub/refs": None,
}
# what is not there, and stands as an empty folder for as long as the sandbox does
ABSENT = (".codex", ".agents", ".mcp.json", ".idea", ".husky", ".bashrc", ".zshrc", ".profile", ".gitconfig")
_PROTECTED = (
    *(".claude", ".envrc", "deep/er/.vscode", "sub/.git", ".git/config", ".git/hooks", ".git/commondir"),
    *(".git/modules/sub/config", ".git/modules/sub/hooks", *ABSENT),
)
_FIXED = (
    "deep",
    "deep/er",
    "sub",
    ".git",
    ".git/modules",
    ".git/modules/sub",
)  # renamed they would take it away


def make_repository(folder: Path) -> None:
    """Make a repository with a commit, a submodule's folder, and what an agent or an editor obeys."""
    folder.mkdir(exist_ok=True)
    env = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": "/nonexistent"}
    subprocess.run(["git", "init", "-q", "-b", "main", str(folder)], check=True, env=env)  # noqa: S607, TID251 - before any sandbox
    (folder / ".git/hooks").mkdir(exist_ok=True)
    (folder / "README").write_text("one\n", encoding="utf-8")
    for name, content in PRESENT.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if content is None:
            path.mkdir()
        else:
            path.write_text(content, encoding="utf-8")


def protected_mounts(folder: Path) -> tuple[Mount, ...]:
    """The workspace, and over it all that is protected; what is not there is made first."""
    for name in ABSENT:
        (folder / name).mkdir(exist_ok=True)
    (folder / ".git/commondir").write_text(".\n", encoding="utf-8")
    mounts = [Mount(folder, WORKSPACE, writable=True)]
    mounts += [Mount(folder / name, WORKSPACE / name, writable=True) for name in _FIXED]
    mounts += [Mount(folder / name, WORKSPACE / name) for name in _PROTECTED]
    return tuple(mounts)


def planted(folder: Path) -> str:
    """What was changed of all that is protected; empty: nothing."""
    for name, content in PRESENT.items():
        path = folder / name
        if path.is_symlink() or (content is not None and path.read_text(encoding="utf-8") != content):
            return f"{name} was changed"
    for name in (*ABSENT, ".git/hooks", ".git/modules/sub/hooks"):
        path = folder / name
        found = (
            [one.name for one in path.iterdir() if not one.name.endswith(".sample")] if path.is_dir() else []
        )
        if found or (path.exists() and not path.is_dir()) or path.is_symlink():
            return f"{name} was planted: {found}"
    return ""
