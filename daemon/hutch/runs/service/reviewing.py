"""What waits in a review, as the service tells it; applied or discarded by whoever may."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from anyio import to_thread

from hutch.config import OWNER
from hutch.errors import HutchError
from hutch.runs.gate.answers import answers
from hutch.runs.lookup import find_session
from hutch.runs.path.workspaces import shown
from hutch.runs.planning.repository import protected_in
from hutch.runs.rooms import Rooms
from hutch.runs.runs import Runs
from hutch.runs.volume_service.patch_text import TEXT_BYTES, PatchText, patch_text
from hutch.workspaces.around import named_by_git
from hutch.workspaces.review.applying import Transaction
from hutch.workspaces.review.changes import Change
from hutch.workspaces.review.choosing import Choice, called_out, chosen, conflicts, contents_of
from hutch.workspaces.review.entries import Entry
from hutch.workspaces.review.patches import hunk_count
from hutch.workspaces.review.reviews import Review, Reviews
from hutch.workspaces.review.steps import steps_for
from hutch.workspaces.tree import Tree
from hutch_mcp_tools.change_records import (
    AppliedRecord,
    ApplyRequest,
    ChangesRequest,
    ReviewRecord,
    WorkspaceChange,
    WorkspaceChanges,
)
from hutch_mcp_tools.text import one_line

_PATCH_BYTES = 1 << 20  # of patches in one answer
_APPLIED = 1000  # paths in one
_NAME = 4096  # characters of a path
_REFRESHED = "; git status rewrites its index: leave that out, then git reset brings it up to the commit"


class Reviewing:
    """The part of the service that looks at changes of a workspace."""

    _runs: Runs
    _principal: str

    @answers
    async def list_reviews(self) -> list[ReviewRecord]:
        waiting = []
        for review_id in await to_thread.run_sync(self._runs.rooms.reviews.ids):
            try:
                waiting.append(await self._review(review_id))
            except HutchError as error:  # of another principal, or just gone
                if error.code not in ("run_unknown", "session_unknown", "changes_unknown"):
                    raise
        waiting.sort(key=lambda review: review.created_at, reverse=True)
        listed = [await self._listed(review) for review in waiting]
        return [each for each in listed if each.changes != 0]  # all of it was applied

    @answers
    async def get_changes(self, request: ChangesRequest) -> WorkspaceChanges:
        review = await self._review(request.id)
        rooms = self._runs.rooms
        with rooms.reviews.used(review.id):
            return await to_thread.run_sync(_told, rooms.reviews, review, request, self._names(review))

    @answers
    async def apply_changes(self, request: ApplyRequest) -> AppliedRecord:
        review = await self._review(request.id)
        self._refuse_apply(review.id, agreed=request.agreed, runs_here=request.include_executable)
        with self._runs.rooms.reviews.used(review.id):
            return await to_thread.run_sync(self._apply, review, request)

    @answers
    async def discard_changes(self, of: str) -> WorkspaceChanges:
        review = await self._review(of)
        reviews = self._runs.rooms.reviews
        with reviews.used(review.id):
            names = self._runs.rooms.config.policy.protected_names
            told = await to_thread.run_sync(_told, reviews, review, ChangesRequest(id=of, patch=False), names)
            await to_thread.run_sync(reviews.discard, review.id)
        return told

    def _names(self, review: Review) -> tuple[str, ...]:
        return protected_in(review.folder, self._runs.rooms.config)

    async def _review(self, text: str) -> Review:
        """Find the review of a run or session that this principal may know of."""
        rooms = self._runs.rooms
        if text.startswith("r-"):
            run = await self._runs.find(text, self._principal)
            review_id = str(run.workspace.get("review") or run.session_id or run.id)
        else:
            review_id = (await find_session(rooms.state, text, self._principal)).id
        return await to_thread.run_sync(rooms.reviews.find, review_id)

    async def _listed(self, review: Review) -> ReviewRecord:
        reviews = self._runs.rooms.reviews
        is_used = reviews.is_used(review.id)
        return ReviewRecord(
            review=review.id,
            folder=str(review.folder),
            changes=None if is_used else len(await to_thread.run_sync(review.changes)),
            bytes=None if is_used else await to_thread.run_sync(reviews.size, review.id),
            created_at=datetime.fromtimestamp(review.created_at, UTC),
        )

    def _refuse_apply(self, review_id: str, *, agreed: bool, runs_here: bool) -> None:
        policy = self._runs.rooms.config.policy
        may = agreed or (policy.agents_may_apply and not runs_here)
        if self._principal != OWNER or not may:
            raise HutchError(
                "apply_denied",
                "changes of a folder of this machine are applied by its owner",
                f"the owner looks at them: hutch diff {review_id}, applies them: hutch apply {review_id}; "
                "policy.agents_may_apply lets agents do it",
            )

    def _apply(self, review: Review, request: ApplyRequest) -> AppliedRecord:
        choice = Choice(request.paths, request.skip, request.hunks, request.include_executable)
        changes = review.changes()
        reviews = self._runs.rooms.reviews
        with reviews.real(review) as real:
            named = named_by_git(review.folder, (change.path for change in changes))
            picked = chosen(changes, choice, real, (*self._names(review), *named))
            base = review.base()
            for change in picked:
                if conflicts(change, base, real):
                    raise HutchError(
                        "change_conflict",
                        f"{change.path} has changed in {review.folder} since the sandbox saw it",
                        f"nothing was applied; look at both, then leave it out: --skip {change.path!r}"
                        + _REFRESHED * (change.path.rpartition("/")[2] == "index"),
                    )
            contents = contents_of(picked, choice, real)
            stamps = {change.path: real.stamp(change.path) for change in picked}
        steps = steps_for(picked, stamps, contents)
        if steps:
            transaction = Transaction(review.folder, reviews.journal(review), steps, roots=reviews.roots)
            reviews.apply(review, transaction)
        return AppliedRecord(
            review=review.id,
            folder=str(review.folder),
            applied=shown([f"{change.kind} {change.path}" for change in picked[:_APPLIED]]),
            count=len(picked),
            waiting=len(review.changes()),
        )


async def waiting_of(rooms: Rooms, review_id: str, limit: int) -> WorkspaceChanges | None:
    """Return what waits of a session, the first with the number of their lines; None: nothing does."""
    request = ChangesRequest(id=review_id, limit=max(limit, 1))
    try:
        review = await to_thread.run_sync(rooms.reviews.find, review_id)
        with rooms.reviews.used(review.id):
            names = protected_in(review.folder, rooms.config)
            return await to_thread.run_sync(_told, rooms.reviews, review, request, names)
    except HutchError as error:
        if error.code not in ("changes_unknown", "review_busy"):
            raise
        return None


def _told(
    reviews: Reviews, review: Review, request: ChangesRequest, names: Sequence[str]
) -> WorkspaceChanges:
    wanted = [
        change
        for change in sorted(review.changes(), key=lambda each: each.path)
        if not request.path or f"{change.path}/".startswith(f"{request.path.rstrip('/')}/")
    ]
    page: list[WorkspaceChange] = []
    room, number = _PATCH_BYTES, request.offset
    base = review.base()
    names = (*names, *named_by_git(review.folder, (change.path for change in wanted)))
    with reviews.real(review) as real:
        for change in wanted[request.offset :]:
            if len(page) == request.limit or room <= 0:
                break
            made = _patch(change, real) if request.patch else PatchText()
            room -= len(made.text)
            number += 1
            page.append(
                WorkspaceChange(
                    kind=change.kind,
                    path=shown([change.path])[0],
                    what=(change.after or change.before or Entry("other", 0, 0)).kind,
                    patch=made.text or None,
                    note=made.note,
                    added=made.added,
                    deleted=made.deleted,
                    hunks=hunk_count(made.text),
                    called_out=called_out(change, real, names),
                    refused=change.refused,
                    conflict=conflicts(change, base, real),
                )
            )
    return WorkspaceChanges(
        review=review.id,
        folder=str(review.folder),
        how=review.how,
        changes=page,
        count=len(wanted),
        next=number if number < len(wanted) else None,
    )


def _patch(change: Change, real: Tree) -> PatchText:
    sides = [entry for entry in (change.before, change.after) if entry]
    if {"folder", "other"} >= {entry.kind for entry in sides}:
        return PatchText()
    if max(entry.size for entry in sides) > TEXT_BYTES:
        return PatchText(note="too large")
    try:
        before = _content(change.before, lambda: real.read(change.path, TEXT_BYTES))
        source = change.source
        after = _content(change.after, lambda: source.read_bytes() if source else b"")
    except OSError:
        return PatchText(note="not readable")
    made = patch_text(f"/{one_line(shown([change.path])[0], _NAME)}", before, after)
    is_new_mode = change.before and change.after and change.before.mode != change.after.mode
    if is_new_mode and change.before and change.after and not made.text:
        return PatchText(note=f"mode {change.before.mode:o} to {change.after.mode:o}")
    return made


def _content(entry: Entry | None, read: Callable[[], bytes]) -> bytes | None:
    """What stands there, a link's target too, as git has it."""
    if entry is None or entry.kind == "folder":
        return None
    return (entry.target or "").encode("utf-8", "surrogateescape") if entry.kind == "link" else read()
