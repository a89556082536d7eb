"""What a writable workspace needs so that nothing can be planted in it that runs on the host. Looks only."""

import os
import stat
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from hutch.errors import HutchError
from hutch.workspaces.around import repositories_around
from hutch.workspaces.git import Missing, guarded, linked_worktree, named_in_configuration, pointed_at
from hutch.workspaces.look import Look

_MOST = 600  # mounts; bubblewrap takes some 2,900, and each costs the start some 20 µs


@dataclass(slots=True)
class Guard:
    """Absolute paths on the host."""

    read_only: set[Path] = field(default_factory=set)
    # To be made: a file's content, or a folder
    missing: dict[Path, bytes | None] = field(default_factory=dict)
    masked: set[Path] = field(default_factory=set)  # sockets and FIFOs
    common: Path | None = None  # git's folder of a linked worktree, outside of the workspace

    def fixed(self, top: Path) -> set[Path]:
        """Return the folders between `top` and what is protected: renamed, they would take it away."""
        protected = [*self.read_only, *self.missing]
        return {
            above
            for path in protected
            for above in path.parents
            if above != top and above.is_relative_to(top) and above not in self.read_only
        }


def guard_of(top: Path, look: Look, names: Collection[str]) -> Guard:
    """Say what to protect in a workspace. Raises HutchError `workspace_denied` where that cannot be."""
    guard = Guard(masked={top / path for path in look.special})
    guard.read_only |= {top / path for path in (*look.protected, *look.pointers, *look.linked_out)}
    for path in look.repositories:
        _add_repository(guard, top / path, top)
    for repository, home in repositories_around(top.parent):
        _add_named(guard, repository, home, top)
    homes = {top, *((top / path).parent for path in look.repositories if path.endswith(".git"))}
    for home in homes:
        _add_missing(guard, home, names)
    if not os.path.lexists(top / ".git"):
        guard.missing[top / ".git"] = None
    elif found := linked_worktree(top):
        guard.common = found.common
        _add_repository(guard, found.common, top)
    for path in look.pointers:
        git = pointed_at(top / path)
        if git is not None and git.is_relative_to(top):
            _add_repository(guard, git, top)
            _add_named(guard, git, (top / path).parent, top)
            _add_looked_for(guard, git, top, None)
    _drop_nested(guard)
    _refuse_unguardable(guard, top)
    return guard


def masks(top: Path, look: Look) -> set[Path]:
    """Return what even a reader must not have: a read-only mount does not keep a socket from answering."""
    return {top / path for path in look.special}


def _add_repository(guard: Guard, repository: Path, top: Path) -> None:
    if repository.is_dir():
        there, missing = guarded(repository)
        guard.read_only |= {repository / path for path in there}
        guard.missing |= {repository / each.path: each.content for each in missing}
    is_inner = repository.name == ".git" and repository.is_relative_to(top)
    _add_named(guard, repository, repository.parent if is_inner else top, top)


def _add_named(guard: Guard, repository: Path, home: Path, top: Path) -> None:
    """Protect what of the workspace the configuration of a repository names, whose top is `home`."""
    for path, content in named_in_configuration(repository, home):
        if path != top and path.is_relative_to(top) and not repository.is_relative_to(path):
            if os.path.lexists(path):
                guard.read_only.add(path)
            _add_looked_for(guard, path, top, content)


def _add_looked_for(guard: Guard, path: Path, top: Path, content: bytes | None) -> None:
    """Protect the first thing on the way to `path` that is not there, or that is a link."""
    for above in (*reversed(path.parents), path):
        if above == top or not above.is_relative_to(top):
            continue
        mode = _mode(above)
        if stat.S_ISLNK(mode):
            guard.read_only.add(above)  # and is refused
        elif not mode:
            guard.missing[above] = content if above == path else None
        if not stat.S_ISDIR(mode):
            return


def _add_missing(guard: Guard, home: Path, names: Iterable[str]) -> None:
    for each in _missing_in(home, names):
        guard.missing[home / each.path] = each.content


def _missing_in(home: Path, names: Iterable[str]) -> Iterator[Missing]:
    for name in names:
        path = home / name
        if not os.path.lexists(path) and stat.S_ISDIR(_mode(path.parent)):
            yield Missing(name, None)


def _mode(path: Path) -> int:
    try:
        return path.lstat().st_mode
    except OSError:
        return 0


def _drop_nested(guard: Guard) -> None:
    """What lies in a protected folder is protected with it."""
    guard.read_only = {path for path in guard.read_only if not _is_below(path, guard.read_only)}
    guard.missing = {
        path: content for path, content in guard.missing.items() if not _is_below(path, guard.read_only)
    }


def _is_below(path: Path, folders: Collection[Path]) -> bool:
    return any(above in folders for above in path.parents)


def _refuse_unguardable(guard: Guard, top: Path) -> None:
    for path in guard.read_only:
        if stat.S_ISLNK(_mode(path)):
            raise HutchError(
                "workspace_denied",
                f"{path} is a symbolic link, which nothing keeps from being replaced",
                f"work on a copy of it instead: {top}:review",
            )
    count = len(guard.read_only) + len(guard.missing) + len(guard.masked)
    if count > _MOST:
        raise HutchError(
            "workspace_denied",
            f"{count} paths in {top} would have to be protected, and {_MOST} can be; most of them are "
            "files that have another name outside of it, or repositories",
            f"work on a copy of it instead: {top}:review",
        )


def inside(path: Path, top: Path, target: PurePosixPath) -> PurePosixPath:
    """Return where a path of the host is in the sandbox: what is not below `top` is at its own place."""
    return target / path.relative_to(top) if path.is_relative_to(top) else PurePosixPath(path)
