"""What lies around a workspace: a part of a folder that the host obeys is obeyed as well."""

from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from hutch.workspaces.git import is_bare_repository, named_in_configuration, pointed_at

_OWN = frozenset({"hooks", "info", "logs", "modules", "objects", "refs", "worktrees"})  # of a repository


def repositories_around(folder: Path) -> Iterator[tuple[Path, Path]]:
    """Yield each repository that `folder` is in: a folder with its settings, and its top."""
    for top in (folder, *folder.parents):
        git = pointed_at(top / ".git") or top / ".git"
        if git.is_dir():
            yield git, top
        if git.parent.name == "worktrees":
            yield git.parent.parent, top


def named_by_git(top: Path, paths: Iterable[str]) -> set[str]:
    """Return what in `top` the repositories around these paths in it have their configuration name."""
    folders = {top, *((top / path).parent for path in paths)}
    repositories = {found for folder in folders for found in repositories_around(folder)}
    named = {path for git, home in repositories for path, _ in named_in_configuration(git, home)}
    return {str(path.relative_to(top)) for path in named if path != top and path.is_relative_to(top)}


def why_obeyed(folder: Path, roots: Collection[Path], names: Collection[str]) -> str:
    """Say why the host would obey what is written into `folder`, whatever its name; empty: it would not.

    What is granted by itself is not held against its own name: its owner knows it.
    """
    below = [folder.relative_to(root).parts for root in roots if folder.is_relative_to(root)]
    if all(_is_protected(parts, names) for parts in below):
        return "it is a part of what stays as it is in a writable workspace"
    for place in (folder, *folder.parents):
        part = folder.relative_to(place).parts[:1]
        with suppress(OSError):
            if (not part or part[0] in _OWN) and is_bare_repository(
                {inner.name for inner in place.iterdir()}
            ):
                return f"it is git's folder {place}, or in it"
    for git, home in repositories_around(folder):
        for path, _ in named_in_configuration(git, home):
            if folder.is_relative_to(path) and not home.is_relative_to(path):
                return f"the configuration of the repository {home} names {path}"
    return ""


def _is_protected(parts: tuple[str, ...], names: Collection[str]) -> bool:
    """Whether one of `names` is on this way, or begins at its end: in `.hg`, `hgrc` has another name."""
    for name in (".git", *names):
        wanted = tuple(name.split("/"))
        if any(parts[at : at + len(wanted)] == wanted for at in range(len(parts))):
            return True
        if any(parts[-length:] == wanted[:length] for length in range(1, len(wanted))):
            return True
    return False
