"""The workspace of a run: checked, looked over, guarded while it is used, and told of afterwards."""

import logging
import os
from collections.abc import AsyncGenerator, Callable, Collection, Iterable, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import anyio
from anyio import to_thread

from hutch.errors import HutchError, unwrapped
from hutch.mounts import WORKSPACE
from hutch.policy import Plan
from hutch.runs.planning.denied import held_in_copy, hidden_below
from hutch.runs.planning.repository import protected_in
from hutch.runs.rooms import PathRooms
from hutch.workspaces import GrantedWorkspace, Mode
from hutch.workspaces.executable import runs_on_host
from hutch.workspaces.guarding import Guard, guard_of, inside, masks
from hutch.workspaces.look import Look, look_over
from hutch.workspaces.pinning import Pinned, pinned
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
    here: Path = Path()  # the folder itself, whatever its path leads to by now
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
        after = await to_thread.run_sync(look_over, self.here, self.names)
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


@asynccontextmanager
async def workspace_of(
    rooms: PathRooms, plan: Plan, holder: str, say: Callable[[str], None], stop: Callable[[str], None]
) -> AsyncGenerator[Workspace]:
    """Hold the workspace of a run for the length of the block; nothing of ours is left in it afterwards.

    `holder` names the run or session whose changes go on in one review. `stop` is called with the reason when
    what is protected cannot be any longer: everything inside must end at once.

    Raises HutchError `workspace_denied`, OSError.
    """
    granted = plan.workspace
    if granted is None:
        yield Workspace()
        return
    by_path = granted.mode in (Mode.RW, Mode.WORKTREE)  # some of what is prepared is looked up by it
    with pinned(granted.folder, rooms.config.policy.roots, watches=by_path) as top, unwrapped():
        if granted.mode is Mode.RW:
            held = _guarded(rooms, granted, top, holder, stop)
        elif granted.mode is Mode.WORKTREE:
            goes_on = holder.startswith("s-") and not plan.is_kept
            held = _checked_out(rooms, granted, top, holder, goes_on=goes_on)
        elif granted.mode is Mode.REVIEW:
            held = _reviewed(rooms, plan, granted, top, holder, say)
        else:
            held = _shown(rooms, granted, top)
        async with held as workspace:
            yield workspace


@asynccontextmanager
async def _shown(rooms: PathRooms, granted: GrantedWorkspace, top: Pinned) -> AsyncGenerator[Workspace]:
    look = await to_thread.run_sync(look_over, top.here, ())
    hidden = _masks(rooms, masks(top.folder, look), top.folder)
    yield Workspace(granted, top.here, (Mount(top.folder, WORKSPACE, identity=top.identity), *hidden))


@asynccontextmanager
async def _reviewed(
    rooms: PathRooms,
    plan: Plan,
    granted: GrantedWorkspace,
    top: Pinned,
    holder: str,
    say: Callable[[str], None],
) -> AsyncGenerator[Workspace]:
    # In a sandbox of root's, other users have no number, and an overlay cannot make files of theirs
    is_ours = os.fstat(top.fd).st_uid == os.geteuid()
    probe = await rooms.launchers[plan.method].probe()
    open_review = partial(
        rooms.reviews.open,
        holder,
        top.folder,
        overlays=is_ours and Ability.OVERLAY in probe.abilities,
        most_bytes=rooms.config.policy.review_copy_max_bytes,
        say=say,
        hidden=hidden_below(plan.masks, WORKSPACE),
    )
    with rooms.reviews.used(holder):
        review = await to_thread.run_sync(open_review)
        if review.how == "overlay":
            mount = Mount(top.folder, WORKSPACE, upper=review.upper, work=review.work, identity=top.identity)
            held: tuple[Mount, ...] = ()
        else:
            mount = Mount(review.copy, WORKSPACE, writable=True)
            held = held_in_copy(plan.masks, review.copy, WORKSPACE)
        try:
            yield Workspace(granted, top.here, (mount, *held), review=review)
        finally:
            with anyio.CancelScope(shield=True):
                await to_thread.run_sync(rooms.reviews.drop_if_empty, review)


@asynccontextmanager
async def _checked_out(
    rooms: PathRooms, granted: GrantedWorkspace, top: Pinned, holder: str, *, goes_on: bool
) -> AsyncGenerator[Workspace]:
    """`goes_on`: an agent's next turn works in the same checkout."""
    with rooms.reviews.used(holder), ExitStack() as stack:
        worktree, objects = await to_thread.run_sync(rooms.worktrees.open, holder, top, stack)
        tree = Mount(worktree.tree, WORKSPACE, writable=True)
        mounts = (tree, Mount(objects.folder, OBJECTS, identity=objects.identity))
        commit = partial(rooms.worktrees.commit, holder, f"What {holder} did\n")
        try:
            yield Workspace(granted, top.here, mounts, commit=commit)
        finally:
            with anyio.CancelScope(shield=True):
                await to_thread.run_sync(commit)
                if not goes_on:
                    await to_thread.run_sync(rooms.worktrees.remove, holder)


@asynccontextmanager
async def _guarded(
    rooms: PathRooms, granted: GrantedWorkspace, top: Pinned, holder: str, stop: Callable[[str], None]
) -> AsyncGenerator[Workspace]:
    folder = top.folder
    names = await to_thread.run_sync(protected_in, folder, rooms.config)
    async with AsyncExitStack() as stack:

        def prepare() -> tuple[Look, Guard, list[Pinned]]:
            look = look_over(top.here, names)
            guard = guard_of(folder, look, names)
            common = [guard.common] if guard.common else []
            roots = rooms.config.policy.roots
            within = [top, *(stack.enter_context(pinned(each, roots, watches=True)) for each in common)]
            rooms.placeholders.make(holder, guard.missing, *within)
            return look, guard, within

        used = rooms.placeholders.used(holder, top)
        await to_thread.run_sync(used.__enter__)
        stack.push(used)
        look, guard, within = await to_thread.run_sync(prepare)
        ours = frozenset(
            str(path.relative_to(folder)) for path in guard.missing if path.is_relative_to(folder)
        )
        watch = stack.enter_context(watched(_guarded_paths(guard, folder)))
        watching = await stack.enter_async_context(anyio.create_task_group())
        watching.start_soon(_stop_when_replaced, watch, stop)
        for each in within:
            each.refuse_moved()
        mounts = tuple(_guard_mounts(rooms, guard, within))
        yield Workspace(granted, top.here, mounts, names, look, ours=ours)
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


def commit_left(worktrees: Worktrees, going_on: Collection[str], held: Collection[str]) -> None:
    """Bring what dead runs wrote into their branches, and take away what none goes on in, nor has `held`."""
    for holder in sorted({*worktrees.left()} - {*held}):
        try:
            worktrees.commit(holder, f"What {holder} did\n")
        except (HutchError, OSError, ValueError, KeyError) as error:
            logger.warning("worktree=%s could not be committed: %s", holder, error)
            continue
        if holder not in going_on:
            worktrees.remove(holder)


def _guard_mounts(rooms: PathRooms, guard: Guard, within: Sequence[Pinned]) -> Iterable[Mount]:
    """The folders, then what is protected in them: a mount covers those before it."""
    top = within[0].folder
    fixed = {path: True for each in within for path in guard.fixed(each.folder)}
    read_only = dict.fromkeys((*guard.read_only, *filter(os.path.lexists, guard.missing)), False)
    roots = [
        Mount(each.folder, inside(each.folder, top, WORKSPACE), writable=True, identity=each.identity)
        for each in within
    ]
    inner = sorted((fixed | read_only).items(), key=lambda each: len(each[0].parts))
    return (
        *roots,
        *(Mount(path, inside(path, top, WORKSPACE), writable) for path, writable in inner),
        *_masks(rooms, guard.masked, top),
    )


def _masks(rooms: PathRooms, paths: Iterable[Path], top: Path) -> list[Mount]:
    """An empty file over each: nobody can connect to it, or hold up who opens it."""
    empty = rooms.placeholders.folder / "empty"
    if not empty.exists():
        empty.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.close(os.open(empty, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o444))
    return [Mount(empty, inside(path, top, WORKSPACE)) for path in sorted(paths)]


def shown(paths: Iterable[str]) -> list[str]:
    """Return paths as text that JSON takes: bytes that are no text are escaped."""
    return [path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace") for path in paths]
