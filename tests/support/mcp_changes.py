"""Changes of a workspace, for the tools' own tests: one review, whose applying is only written down."""

from datetime import UTC, datetime

from hutch_mcp_tools.change_records import (
    AppliedRecord,
    ApplyRequest,
    ChangesRequest,
    ReviewRecord,
    WorkspaceChange,
    WorkspaceChanges,
)
from hutch_mcp_tools.service import ServiceError

_BEGAN = datetime(2026, 1, 2, tzinfo=UTC)
_PATCH = "--- a/README\n+++ b/README\n@@ -1 +1,2 @@\n one\n+two\n"


class FakeChanges:
    """The review of `s-review`."""

    def __init__(self) -> None:
        self.asked: list[ApplyRequest] = []
        self.agents_may_apply = False
        self.changes = [
            WorkspaceChange(kind="M", path="README", what="file", patch=_PATCH, added=1, hunks=1),
            WorkspaceChange(kind="D", path="old", what="file"),
            WorkspaceChange(kind="A", path=".envrc", what="file", called_out="a shell would obey it"),
        ]

    async def list_reviews(self) -> list[ReviewRecord]:
        count = len(self.changes)
        return [
            ReviewRecord(review="s-review", folder="/src/app", changes=count, bytes=4096, created_at=_BEGAN)
        ]

    async def get_changes(self, request: ChangesRequest) -> WorkspaceChanges:
        if request.id != "s-review":
            raise ServiceError("changes_unknown", f"{request.id} has no changes to look at")
        page = self.changes[request.offset : request.offset + request.limit]
        return WorkspaceChanges(
            review="s-review", folder="/src/app", how="overlay", changes=page, count=len(self.changes)
        )

    async def apply_changes(self, request: ApplyRequest) -> AppliedRecord:
        if not (request.agreed or self.agents_may_apply):
            raise ServiceError("apply_denied", "changes are applied by their owner")
        self.asked.append(request)
        lines = [f"{change.kind} {change.path}" for change in self.changes]
        return AppliedRecord(review="s-review", folder="/src/app", applied=lines, count=len(lines), waiting=0)

    async def discard_changes(self, of: str) -> WorkspaceChanges:
        return await self.get_changes(ChangesRequest(id=of))
