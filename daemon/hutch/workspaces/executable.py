"""Which files of a workspace the host runs, or takes orders from, without being asked. Pure."""

import json
from collections.abc import Collection, Iterable
from pathlib import PurePosixPath

_INSTRUCTIONS = frozenset({"AGENTS.md", "CLAUDE.md", "CLAUDE.local.md", "GEMINI.md"})  # what agents obey
_SERVICES = (  # run by a service after a push, with its secrets
    ".appveyor.yml", ".buildkite", ".circleci", ".drone.yml", ".forgejo/workflows", ".gitea/workflows",
    ".github/actions", ".github/workflows", ".gitlab-ci.yml", ".gitlab/ci", ".travis.yml", ".woodpecker",
    ".woodpecker.yml", "Jenkinsfile", "appveyor.yml", "azure-pipelines.yml", "bitbucket-pipelines.yml",
)  # fmt: skip


def runs_on_host(paths: Iterable[str], protected: Collection[str]) -> list[str]:
    """Return those paths that are, or lie in, something with a protected name, or git's own."""
    return [path for path in paths if _has_one_of(path, protected) or _is_gits(path)]


def why_called_out(path: str, protected: Collection[str]) -> str:
    """Say why a change of this path needs a person's consent by itself; empty: it does not."""
    if _is_gits(path):
        return "git would obey it"
    if _has_one_of(path, protected):
        return "an agent, an editor, a hook or a shell would obey it"
    if PurePosixPath(path).name in _INSTRUCTIONS:
        return "agents would obey it"
    if _has_one_of(path, _SERVICES):
        return "a build service would run it"
    return ""


def scripts_differ(before: bytes | None, after: bytes | None) -> bool:
    """Whether two states of a package.json name different scripts, some of which an install runs."""
    return after is not None and _scripts(after) != _scripts(before or b"")


def _scripts(data: bytes) -> object:
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    return found.get("scripts") or {} if isinstance(found, dict) else {}


def _has_one_of(path: str, names: Collection[str]) -> bool:
    parts = PurePosixPath(path).parts
    for name in names:
        wanted = tuple(name.split("/"))
        if any(parts[n : n + len(wanted)] == wanted for n in range(len(parts) - len(wanted) + 1)):
            return True
    return False


def _is_gits(path: str) -> bool:
    """A `.git`, and what of it is configuration; what git itself writes there is not meant."""
    parts = PurePosixPath(path).parts
    if ".git" not in parts:
        return False
    inner = parts[parts.index(".git") + 1 :]
    if not inner:
        return True
    return bool(
        {"hooks", "config", "config.worktree", "commondir", "gitdir", "git-rebase-todo", "alternates"}
        & set(inner)
    )
