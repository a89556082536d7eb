"""The workspace of a run: checked, looked over, guarded while it is used, and told of afterwards."""

import logging
import os
from collections.abc import AsyncGenerator, Callable, Collection, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import anyio
from anyio import to_thread

from hutch.config import Config
from hutch.errors import HutchError, unwrapped
from hutch.mounts import WORKSPACE
from hutch.policy import Plan
from hutch.runs.repository import protected_in
from hutch.runs.rooms import Rooms
from hutch.workspaces import GrantedWorkspace, Mode
from hutch.workspaces.executable import runs_on_host
from hutch.workspaces.guarding import Guard, guard_of, inside, masks
from hutch.workspaces.look import Look, look_over
from hutch.workspaces.review.reviews import Review
from hutch.workspaces.watching import Watch, watched
from hutch.workspaces.worktrees import OBJECTS, Worktree, Worktrees
from hutch_launchers.spec import Ability, Mount

logger = logging.getLogger(__name__)

_TOLD = 50  # paths in a run's record


@dataclass(slots=True)
class Workspace:
    """The workspace of a run while it has one; most have none."""

    granted: GrantedWorkspace | None = None
    mounts: tuple[Mount, ...] = ()
    names: tuple[str, ...] = ()  # that are protected
    before: Look | None = None  # None: nothing can change in it
    review: Review | None = None  # where its changes wait
    commit: Callable[[], tuple[Worktree, list[str]]] | None = None  # brings them into its branch
    ours: frozenset[str] = frozenset()  # the placeholders in it

    async def told(self) -> dict[str, object]:
        """Say what the record of the run shall say; asked again, what has changed since."""
        if self.granted is None:
            return {}
        record: dict[str, object] = {"folder": str(self.granted.folder), "mode": str(self.granted.mode)}
        if self.commit is not None:
            worktree, lines = await to_thread.run_sync(self.commit)
            branch = {} if worktree.is_new else {"branch": worktree.branch, "commit": worktree.commit}
            return record | branch | {"changed": shown(lines[:_TOLD]), "changes": len(lines)}
        if self.review is not None:
            waiting = await to_thread.run_sync(self.review.changes)
            lines = [f"{change.kind} {change.path}" for change in waiting]
            waits = {"review": self.review.id, "how": self.review.how}
            return record | waits | {"changed": shown(lines[:_TOLD]), "changes": len(lines)}
        if self.before is None:
            return record
        after = await to_thread.run_sync(look_over, self.granted.folder, self.names)
        for path in self.ours:
            after.stamps.pop(path, None)
        changes = after.changes_since(self.before)
        appeared = [line[2:] for line in changes if line[0] in "AM"]
        self.before = after
        return record | {
            "changed": shown(changes[:_TOLD]),
            "changes": len(changes),
            "would_run_on_host": shown(runs_on_host(appeared, self.names)[:_TOLD]),
        }


def refuse_workspace(plan: Plan, config: Config) -> None:
    """Raise HutchError `workspace_denied` if the workspace is not the folder that its path says.

    A repository can carry a link, and the path through it still begins with the granted folder. The granted
    folder itself may be reached through links: its owner made those.
    """
    if plan.workspace is None:
        return
    folder = plan.workspace.folder
    if not _is_beneath(folder, config.policy.workspaces):
        raise HutchError(
            "workspace_denied",
            f"{folder} leads through a symbolic link",
            "name the folder itself; the daemon's owner lists what may be mounted in policy.workspaces",
        )
    own = (config.daemon.state, config.daemon.cache, config.daemon.socket.parent)
    for place in (path.resolve() for path in own):
        if place.is_relative_to(folder.resolve()) or folder.resolve().is_relative_to(place):
            raise HutchError(
                "workspace_denied",
                f"{folder} holds what the daemon keeps in {place}",
                "use a folder of one project",
            )


@asynccontextmanager
async def workspace_of(
    rooms: Rooms, plan: Plan, holder: str, say: Callable[[str], None], stop: Callable[[str], None]
) -> AsyncGenerator[Workspace]:
    """Hold the workspace of a run for the length of the block; nothing of ours is left in it afterwards.

    `holder` names the run or session whose changes go on in one review. `stop` is called with the reason when
    what is protected cannot be any longer: everything inside must end at once.

    Raises HutchError `workspace_denied`, OSError.
    """
    granted = plan.workspace
    if granted is None:
        yield Workspace()
    elif granted.mode is Mode.RW:
        async with _guarded(rooms, granted, holder, stop) as workspace:
            yield workspace
    elif granted.mode is Mode.WORKTREE:
        goes_on = holder.startswith("s-") and not plan.is_kept
        async with _checked_out(rooms, granted, holder, goes_on=goes_on) as workspace:
            yield workspace
    elif granted.mode is Mode.REVIEW:
        async with _reviewed(rooms, plan, granted, holder, say) as workspace:
            yield workspace
    else:
        look = await to_thread.run_sync(look_over, granted.folder, ())
        hidden = _masks(rooms, masks(granted.folder, look), granted.folder)
        yield Workspace(granted, (Mount(granted.folder, WORKSPACE), *hidden))


@asynccontextmanager
async def _reviewed(
    rooms: Rooms, plan: Plan, granted: GrantedWorkspace, holder: str, say: Callable[[str], None]
) -> AsyncGenerator[Workspace]:
    real = granted.folder
    # In a sandbox of root's, other users have no number, and an overlay cannot make files of theirs
    is_ours = real.stat().st_uid == os.geteuid()
    probe = await rooms.launchers[plan.method].probe()
    open_review = partial(
        rooms.reviews.open,
        holder,
        real,
        overlays=is_ours and Ability.OVERLAY in probe.abilities,
        most_bytes=rooms.config.policy.review_copy_max_bytes,
        say=say,
    )
    with rooms.reviews.used(holder):
        review = await to_thread.run_sync(open_review)
        if review.how == "overlay":
            mount = Mount(real, WORKSPACE, upper=review.upper, work=review.work)
        else:
            mount = Mount(review.copy, WORKSPACE, writable=True)
        try:
            yield Workspace(granted, (mount,), review=review)
        finally:
            with anyio.CancelScope(shield=True):
                await to_thread.run_sync(rooms.reviews.drop_if_empty, review)


@asynccontextmanager
async def _checked_out(
    rooms: Rooms, granted: GrantedWorkspace, holder: str, *, goes_on: bool
) -> AsyncGenerator[Workspace]:
    """`goes_on`: an agent's next turn works in the same checkout."""
    with rooms.reviews.used(holder):
        worktree, objects = await to_thread.run_sync(rooms.worktrees.open, holder, granted.folder)
        mounts = (Mount(worktree.tree, WORKSPACE, writable=True), Mount(objects, OBJECTS))
        commit = partial(rooms.worktrees.commit, holder, f"What {holder} did\n")
        try:
            yield Workspace(granted, mounts, commit=commit)
        finally:
            with anyio.CancelScope(shield=True):
                await to_thread.run_sync(commit)
                if not goes_on:
                    await to_thread.run_sync(rooms.worktrees.remove, holder)


@asynccontextmanager
async def _guarded(
    rooms: Rooms, granted: GrantedWorkspace, holder: str, stop: Callable[[str], None]
) -> AsyncGenerator[Workspace]:
    top = granted.folder
    names = await to_thread.run_sync(protected_in, top, rooms.config)

    def prepare() -> tuple[Look, Guard]:
        look = look_over(top, names)
        guard = guard_of(top, look, names)
        rooms.placeholders.make(holder, guard.missing)
        return look, guard

    async with AsyncExitStack() as stack:
        used = rooms.placeholders.used(holder, top)
        await to_thread.run_sync(used.__enter__)
        stack.push(used)
        look, guard = await to_thread.run_sync(prepare)
        ours = frozenset(str(path.relative_to(top)) for path in guard.missing if path.is_relative_to(top))
        watch = stack.enter_context(watched(_guarded_paths(guard, top)))
        stack.enter_context(unwrapped())
        watching = await stack.enter_async_context(anyio.create_task_group())
        watching.start_soon(_stop_when_replaced, watch, stop)
        yield Workspace(granted, tuple(_guard_mounts(rooms, guard, top)), names, look, ours=ours)
        watching.cancel_scope.cancel()


async def _stop_when_replaced(watch: Watch, stop: Callable[[str], None]) -> None:
    path = await watch.replaced()
    logger.warning("%s was replaced on the host while a sandbox had it", path)
    stop(
        f"{path} was replaced on the host during the run, and what replaces it is not protected; look at it, "
        "then run again"
    )


def _guarded_paths(guard: Guard, top: Path) -> set[Path]:
    fixed = guard.fixed(top) | (guard.fixed(guard.common) if guard.common else set())
    return {*fixed, *guard.read_only, *guard.missing, *guard.masked}


def commit_left(worktrees: Worktrees, going_on: Collection[str]) -> None:
    """Bring what a dead daemon's runs wrote into their branches, and take away what none goes on in."""
    for holder in worktrees.left():
        try:
            worktrees.commit(holder, f"What {holder} did\n")
        except (HutchError, OSError, ValueError, KeyError) as error:
            logger.warning("worktree=%s could not be committed: %s", holder, error)
            continue
        if holder not in going_on:
            worktrees.remove(holder)


def _guard_mounts(rooms: Rooms, guard: Guard, top: Path) -> Iterable[Mount]:
    """The folder, then what is protected in it: a mount covers those before it."""
    fixed = dict.fromkeys(guard.fixed(top), True)
    read_only = dict.fromkeys((*guard.read_only, *filter(os.path.lexists, guard.missing)), False)
    roots = [Mount(top, WORKSPACE, writable=True)]
    if guard.common:
        fixed |= dict.fromkeys(guard.fixed(guard.common), True)
        roots.append(Mount(guard.common, inside(guard.common, top, WORKSPACE), writable=True))
    inner = sorted((fixed | read_only).items(), key=lambda each: len(each[0].parts))
    return (
        *roots,
        *(Mount(path, inside(path, top, WORKSPACE), writable) for path, writable in inner),
        *_masks(rooms, guard.masked, top),
    )


def _masks(rooms: Rooms, paths: Iterable[Path], top: Path) -> list[Mount]:
    """An empty file over each: nobody can connect to it, or hold up who opens it."""
    empty = rooms.placeholders.folder / "empty"
    if not empty.exists():
        empty.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.close(os.open(empty, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o444))
    return [Mount(empty, inside(path, top, WORKSPACE)) for path in sorted(paths)]


def shown(paths: Iterable[str]) -> list[str]:
    """Return paths as text that JSON takes: bytes that are no text are escaped."""
    return [path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace") for path in paths]


def _is_beneath(folder: Path, roots: tuple[Path, ...]) -> bool:
    real = folder.resolve()
    granted = (root for root in roots if folder.is_relative_to(root))
    return any(real == root.resolve() / folder.relative_to(root) for root in granted)
