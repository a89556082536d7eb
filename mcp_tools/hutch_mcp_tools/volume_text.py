"""What a model reads of a volume: a folder as a list, a file as it is, anything else by its name and size."""

import mimetypes
from base64 import b64decode, b64encode
from typing import Literal
from urllib.parse import quote

from mcp.types import CallToolResult, ContentBlock, ResourceLink, TextContent

from hutch_mcp_tools.agents_own import agents_own_last
from hutch_mcp_tools.text import harmless_source, json_string, one_line, whole_characters
from hutch_mcp_tools.volume_records import (
    SnapshotRecord,
    VolumeContent,
    VolumeDetails,
    VolumeEntry,
    VolumeRecord,
)

Encoding = Literal["auto", "text", "base64"]


def content_answer(content: VolumeContent, encoding: Encoding, limit: int) -> CallToolResult:
    """All that the answer says of itself comes before the content, so that no content can add to it."""
    if content.kind == "folder":
        return _answer(*_folder(content, limit))
    if content.kind == "link":
        return _answer(_head(content, f"target={json_string(content.target or '', 4096)}"), "")
    data = b64decode(content.data_base64 or "")
    if encoding == "base64":
        more = _more(content, content.next, 'encoding="base64"')
        return _answer(_head(content, f"encoding=base64{more}"), b64encode(data).decode())
    if encoding == "auto" and is_binary(data):
        link = resource_link(content)
        hint = f'{link.mime_type}; binary: encoding="base64" shows its bytes'
        return _answer(_head(content, hint), "", link)
    return _answer(*_text(content, data))


def is_binary(data: bytes) -> bool:
    """Whether this part of a file is no UTF-8 text; its first and last character may be cut."""
    begin = next((n for n in range(min(3, len(data))) if data[n] & 0xC0 != 0x80), 0)
    try:
        text = data[begin : whole_characters(data)].decode()
    except UnicodeDecodeError:
        return True
    return "\0" in text


def resource_link(content: VolumeContent) -> ResourceLink:
    """Where a client finds the whole file; its kind is guessed from its name."""
    mime, _ = mimetypes.guess_type(content.path)
    return ResourceLink(
        type="resource_link",
        uri=f"{volume_uri(content.volume, content.path)}?at={content.snapshot}",
        name=one_line(content.path.rpartition("/")[2], 200) or content.volume,
        mime_type=mime or "application/octet-stream",
        size=content.size,
    )


def volume_uri(volume: str, path: str) -> str:
    """The address of a file or folder of a volume; a name with a workspace is one part of it."""
    return f"hutch://volumes/{quote(volume, safe='')}/{quote(path.lstrip('/'))}"


def volume_line(volume: VolumeRecord) -> str:
    """The facts of a volume as `name=value` pairs."""
    held = f" held_by={volume.held_by}" if volume.held_by else ""
    updated = f" updated={volume.updated_at:%Y-%m-%dT%H:%M:%SZ}" if volume.updated_at else ""
    facts = f"volume={volume.name} snapshot={volume.snapshot} files={volume.files} bytes={volume.bytes}"
    return f"{facts}{updated}{held}"


def details_line(details: VolumeDetails) -> str:
    """What it costs, in the same form."""
    tags = ",".join(f"{tag.label}={tag.snapshot}" for tag in details.tags)
    bounds = {
        "max_bytes": details.max_bytes,
        "max_files": details.max_files,
        "max_history_bytes": details.max_history_bytes,
    }
    facts = {
        "snapshots": details.snapshots,
        "stored_bytes": details.stored_bytes,
        "history_bytes": details.history_bytes,
        "fork_of": details.parent,
        "forks": details.forks,
        "tags": tags,
        **bounds,
    }
    return " ".join(f"{name}={value}" for name, value in facts.items() if value)


def history_lines(history: list[SnapshotRecord]) -> list[str]:
    """A snapshot a line, newest first."""
    return [_snapshot(snapshot) for snapshot in history]


def _snapshot(snapshot: SnapshotRecord) -> str:
    changed = ", ".join(one_line(path, 200) for path in agents_own_last(snapshot.changed))
    more = f" and {snapshot.changes - len(snapshot.changed)} more" * (
        snapshot.changes > len(snapshot.changed)
    )
    tags = f" tags={','.join(snapshot.tags)}" if snapshot.tags else ""
    return (
        f"snapshot={snapshot.snapshot} by={one_line(snapshot.run_id, 100).replace(' ', '_')} "
        f"at={snapshot.created_at:%Y-%m-%dT%H:%M:%SZ}{tags} changed: {changed or 'nothing'}{more}"
    )


def _text(content: VolumeContent, data: bytes) -> tuple[str, str]:
    kept = whole_characters(data) if content.next is not None else len(data)
    more = _more(content, None if content.next is None else content.offset + kept)
    text = data[:kept].decode("utf-8", "replace")
    shown = harmless_source(text)
    changed = sum(before != after for before, after in zip(text, shown, strict=True))
    odd = f'; {changed} control characters shown as symbols, encoding="base64" has them' if changed else ""
    return _head(content, f"bytes={content.offset}-{content.offset + kept}{more}{odd}"), shown


def _folder(content: VolumeContent, limit: int) -> tuple[str, str]:
    lines: list[str] = []
    for entry in content.entries or []:
        line = _entry(entry)
        if lines and len(line) + 1 > limit:
            break
        limit -= len(line) + 1
        lines.append(line)
    reached = content.offset + len(lines)
    more = _more(content, reached if reached < content.size else None)
    return _head(content, f"entries={content.offset}-{reached}{more}"), "\n".join(lines)


def _entry(entry: VolumeEntry) -> str:
    name = one_line(entry.name, 1024)
    if entry.kind == "folder":
        return f"{'-':>10}  {name}/"
    if entry.kind == "link":
        return f"{'-':>10}  {name} -> {one_line(entry.target or '', 1024)}"
    return f"{entry.size:>10}  {name}"


def _head(content: VolumeContent, more: str) -> str:
    return (
        f"volume={content.volume} path={_path(content)} snapshot={content.snapshot} kind={content.kind} "
        f"size={content.size} {more}"
    )


def _more(content: VolumeContent, offset: int | None, *options: str) -> str:
    if offset is None:
        return ""
    where = f'volume="{content.volume}", path={_path(content)}, snapshot="{content.snapshot}"'
    return f"; more: read_volume({', '.join([where, f'offset={offset}', *options])})"


def _path(content: VolumeContent) -> str:
    return json_string(content.path, 4096)


def _answer(head: str, body: str, *links: ResourceLink) -> CallToolResult:
    blocks: list[ContentBlock] = [TextContent(type="text", text=f"{head}\n---\n{body}" if body else head)]
    return CallToolResult(content=[*blocks, *links])
