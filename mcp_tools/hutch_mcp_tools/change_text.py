"""What a model reads of changes that wait to be applied: their list, then the lines that changed."""

from hutch_mcp_tools.change_records import ChangesRequest, WorkspaceChange, WorkspaceChanges
from hutch_mcp_tools.text import harmless_source, json_string, one_line

_PATH = 1024  # characters of one


def is_gits_own(change: WorkspaceChange, asked_for: str) -> bool:
    """Whether it is one of the many files by which git keeps commits, and nobody asked for those."""
    remarks = change.called_out or change.refused or change.conflict
    return ".git" in change.path.split("/") and ".git" not in asked_for.split("/") and not remarks


def changes_text(found: WorkspaceChanges, request: ChangesRequest, limit: int) -> str:
    """At most about `limit` characters. All that the answer says of itself comes before `---`."""
    told, passed = _listed(found, request.path, limit)
    lines = [_line(change) for change in told]
    left = limit - sum(len(line) + 1 for line in lines)
    if own := passed - len(told):
        lines.append(f'({own} of git\'s own files, as commits change them: path=".git" tells them)')
    patches: list[str] = []
    left_out = 0
    for change in told:
        patch = harmless_source(change.patch or "")
        if len(patch) > left:
            left_out += 1
            continue
        patches.append(patch)
        left -= len(patch)
    end = request.offset + passed
    head = f"review={found.review} folder={json_string(found.folder, 4096)} "
    head += f"changes={request.offset}-{end}" if lines else "changes=none"
    if found.next is not None or passed < len(found.changes):
        head += f' of {found.count}; more: get_changes(review="{found.review}", offset={end})'
    if left_out:
        head += f"; the lines of {left_out} files do not fit: ask for one by its path"
    body = "\n".join(lines) + "\n\n" + "".join(patches)
    return f"{head}\n---\n{body}".rstrip("\n") if lines else head


def _listed(found: WorkspaceChanges, asked_for: str, limit: int) -> tuple[list[WorkspaceChange], int]:
    """The changes whose lines fit, at least one, and how many these are with those that are git's own."""
    told: list[WorkspaceChange] = []
    for number, change in enumerate(found.changes):
        if is_gits_own(change, asked_for):
            continue
        limit -= len(_line(change)) + 1
        if told and limit < 0:
            return told, number
        told.append(change)
    return told, len(found.changes)


def _line(change: WorkspaceChange) -> str:
    name = one_line(change.path, _PATH) + "/" * (change.what == "folder")
    counted = f"+{change.added} -{change.deleted}" if change.patch else ""
    said = (counted, change.note, change.refused, change.called_out, "conflict" * change.conflict)
    remarks = ", ".join(word for word in said if word)
    return f"{change.kind} {name}" + (f" ({remarks})" if remarks else "")
