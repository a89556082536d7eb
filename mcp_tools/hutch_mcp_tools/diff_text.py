"""What a model reads of the changes between two snapshots: their list, then the lines that changed."""

from mcp.types import CallToolResult, TextContent

from hutch_mcp_tools.text import harmless_source, json_string, one_line
from hutch_mcp_tools.volume_records import VolumeChange, VolumeDiff, VolumeEntry

_PATH = 1024  # characters of one


def diff_answer(diff: VolumeDiff, path: str, offset: int, limit: int) -> CallToolResult:
    """At most `limit` characters. All that the answer says of itself comes before `---`."""
    lines: list[str] = []
    left = limit
    for change in diff.changes:
        line = _line(change)
        if lines and len(line) + 1 > left:
            break
        left -= len(line) + 1
        lines.append(line)
    patches, left_out = _patches(diff.changes[: len(lines)], left)
    reached = offset + len(lines)
    more = None if diff.next is None and len(lines) == len(diff.changes) else reached
    head = _head(diff, path, offset, reached, more, left_out)
    body = "\n".join(lines) + ("\n\n" + "".join(patches) if patches else "")
    text = f"{head}\n---\n{body}" if lines else head
    return CallToolResult(content=[TextContent(type="text", text=text)])


def _patches(changes: list[VolumeChange], room: int) -> tuple[list[str], int]:
    """Those that fit whole, and how many do not."""
    shown: list[str] = []
    left_out = 0
    for change in changes:
        patch = harmless_source(change.patch or "")
        if len(patch) > room:
            left_out += 1
        else:
            shown.append(patch)
            room -= len(patch)
    return [patch for patch in shown if patch], left_out


def _head(diff: VolumeDiff, path: str, offset: int, reached: int, more: int | None, left_out: int) -> str:
    where = f'volume="{diff.volume}", path={json_string(path, 4096)}, since="{diff.a}", snapshot="{diff.b}"'
    told = f"volume={diff.volume} path={json_string(path, 4096)} since={diff.a} snapshot={diff.b} "
    told += f"changes={offset}-{reached}" if reached else "changes=none"
    if more is not None:
        told += f"; more: read_volume({where}, offset={more})"
    if left_out:
        told += f"; the lines of {left_out} files do not fit: ask for one by its path, or for a larger limit"
    return told


def _line(change: VolumeChange) -> str:
    entry = change.after or change.before
    is_folder = entry is not None and entry.kind == "folder"
    name = one_line(change.path, _PATH) + "/" * is_folder
    if is_folder:
        return f"{change.kind} {name}"
    if change.note:
        return f"{change.kind} {name} ({change.note}, {_size(change.before)} -> {_size(change.after)})"
    return f"{change.kind} {name} (+{change.added} -{change.deleted}{_mode(change)})"


def _mode(change: VolumeChange) -> str:
    if change.before is None or change.after is None or change.before.mode == change.after.mode:
        return ""
    return f", mode {change.before.mode:o} -> {change.after.mode:o}"


def _size(entry: VolumeEntry | None) -> str:
    return "none" if entry is None else f"{entry.size} bytes"
