"""What a model reads of changes that wait to be applied: their list, then the lines that changed."""

from hutch_mcp_tools.change_records import WorkspaceChange, WorkspaceChanges
from hutch_mcp_tools.text import harmless_source, json_string, one_line

_PATH = 1024  # characters of one


def changes_text(found: WorkspaceChanges, offset: int, limit: int) -> str:
    """At most about `limit` characters. All that the answer says of itself comes before `---`."""
    lines: list[str] = []
    left = limit
    for change in found.changes:
        line = _line(change)
        if lines and len(line) + 1 > left:
            break
        left -= len(line) + 1
        lines.append(line)
    patches: list[str] = []
    left_out = 0
    for change in found.changes[: len(lines)]:
        patch = harmless_source(change.patch or "")
        if len(patch) > left:
            left_out += 1
            continue
        patches.append(patch)
        left -= len(patch)
    head = f"review={found.review} folder={json_string(found.folder, 4096)} "
    head += f"changes={offset}-{offset + len(lines)}" if lines else "changes=none"
    if found.next is not None or len(lines) < len(found.changes):
        head += f'; more: get_changes(review="{found.review}", offset={offset + len(lines)})'
    if left_out:
        head += f"; the lines of {left_out} files do not fit: ask for one by its path"
    body = "\n".join(lines) + "\n\n" + "".join(patches)
    return f"{head}\n---\n{body}".rstrip("\n") if lines else head


def _line(change: WorkspaceChange) -> str:
    name = one_line(change.path, _PATH) + "/" * (change.what == "folder")
    counted = f"+{change.added} -{change.deleted}" if change.patch else ""
    said = (counted, change.note, change.refused, change.called_out, "conflict" * change.conflict)
    remarks = ", ".join(word for word in said if word)
    return f"{change.kind} {name}" + (f" ({remarks})" if remarks else "")
