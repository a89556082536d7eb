"""Files that last: `read_volume`, `write_volume`, `list_volumes`."""

from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from typing import Annotated, Literal

from mcp.server.mcpserver.tools import Tool
from mcp.types import CallToolResult, TextContent
from pydantic import Field

from hutch_mcp_tools.diff_text import diff_answer
from hutch_mcp_tools.service import SandboxService, ServiceError
from hutch_mcp_tools.tool import LONG_ANSWERS, READS, WRITES, tool
from hutch_mcp_tools.volume_records import (
    DiffRequest,
    ReadVolumeRequest,
    SnapshotRecord,
    VolumeDetails,
    VolumeRecord,
    WriteVolumeRequest,
)
from hutch_mcp_tools.volume_text import Encoding, content_answer, details_line, history_lines, volume_line
from hutch_mcp_tools.wire import Wire, document

_HISTORY = 20  # snapshots told of one volume
_CHANGED = 10  # paths told of each
_CHANGES = 500  # compared for one answer
MAX_CONTENT = 3 << 20  # bytes in one call: a request is at most 4 MiB, and JSON takes its part

Volume = Annotated[str, Field(description="Its name, as in list_volumes.")]
OneVolume = Annotated[str, Field(description="Only this one, with its newest snapshots. Empty: all.")]
Since = Annotated[str, Field(description="Instead: what changed below path from this snapshot on.")]
Path = Annotated[str, Field(description="From the volume's root, with / between names.")]
Snapshot = Annotated[
    str, Field(description="An older state: a snapshot's number, a tag, a time, or an age as 2h. Empty: now.")
]
Offset = Annotated[int, Field(ge=0, description="Byte of a file, or entry of a folder, to begin at.")]
Limit = Annotated[int, Field(ge=200, le=200_000, description="Bytes of a file, characters of a listing.")]
ReadAs = Annotated[Encoding, Field(description="auto: text as it is, of a binary file only what it is.")]
Mode = Annotated[
    Literal["create", "overwrite", "append"], Field(description="create refuses where there is a file.")
]


class VolumeList(Wire):
    """Every volume that the caller may see, or one with its newest snapshots."""

    volumes: list[VolumeRecord]
    details: VolumeDetails | None = None
    history: list[SnapshotRecord] = Field(default=[])


class VolumeTools:
    """Files at committed states; nothing here waits for a run."""

    def __init__(self, service: SandboxService) -> None:
        self._service = service

    def tools(self) -> list[Tool]:
        return [
            tool(self.read_volume, "Read volume", READS, LONG_ANSWERS, structured=False),
            tool(self.write_volume, "Write volume", WRITES, structured=True),
            tool(self.list_volumes, "List volumes", READS, structured=True),
        ]

    async def read_volume(
        self,
        *,
        volume: Volume,
        path: Path = "/",
        snapshot: Snapshot = "",
        since: Since = "",
        offset: Offset = 0,
        limit: Limit = 20_000,
        encoding: ReadAs = "auto",
    ) -> CallToolResult:
        """Read a file of a volume, or list a folder: as committed, not as a run is just writing it.

        The first line says what it is and how to read on; behind it, after ---, the content as it is.
        With since it is what changed: paths added, modified and deleted, then the changed lines of texts.
        """
        if since:
            asked = DiffRequest(
                volume=volume,
                a=since,
                b=snapshot or None,
                path=path,
                patch=True,
                offset=offset,
                limit=_CHANGES,
            )
            return diff_answer(await self._service.diff_volume(asked), path, offset, limit)
        request = ReadVolumeRequest(volume=volume, path=path, at=snapshot or None, offset=offset, limit=limit)
        return content_answer(await self._service.read_volume(request), encoding, limit)

    async def write_volume(
        self,
        *,
        volume: Volume,
        path: Path,
        content: Annotated[str, Field(description="At most 3 MiB; send more in parts, with append.")],
        encoding: Literal["text", "base64"] = "text",
        mode: Mode = "create",
        executable: bool = False,
    ) -> Annotated[CallToolResult, VolumeRecord]:
        """Write one file into a volume, and commit it. Missing folders, and a missing volume, are made.

        Refused while a run or an agent holds the volume: let that one write the file.
        """
        request = WriteVolumeRequest(
            volume=volume,
            path=path,
            content_base64=_encoded(content, encoding),
            mode=mode,
            executable=executable,
        )
        return _answer([await self._service.write_volume(request)])

    async def list_volumes(self, *, volume: OneVolume = "") -> Annotated[CallToolResult, VolumeList]:
        """The volumes there are: size, newest snapshot, and who may write it now. Of one its history too.

        To try something on a copy, mount NEW=NAME or NEW=NAME@SNAPSHOT: a new volume that begins as that one.
        """
        if not volume:
            return _answer(await self._service.list_volumes(), as_list=True)
        details = await self._service.volume_stat(volume)
        history = [_shortened(one) for one in await self._service.volume_log(volume, _HISTORY)]
        lines = [volume_line(details.volume), details_line(details), *history_lines(history)]
        record = VolumeList(volumes=[details.volume], details=details, history=history)
        return _told(lines, record)


def _encoded(content: str, encoding: Literal["text", "base64"]) -> str:
    try:
        data = content.encode() if encoding == "text" else b64decode(content, validate=True)
    except Base64Error as error:
        raise ServiceError(
            "content_invalid", f"the content is not base64: {error}", 'or did you mean encoding="text"?'
        ) from None
    except UnicodeEncodeError:
        raise ServiceError(
            "content_invalid", "the content holds half of a surrogate pair", 'use encoding="base64"'
        ) from None
    if len(data) > MAX_CONTENT:
        raise ServiceError(
            "request_too_large",
            f"the content has {len(data)} bytes, and one call takes {MAX_CONTENT}",
            'send it in parts: the first as it is, each other one with mode="append"',
        )
    return b64encode(data).decode()


def _shortened(snapshot: SnapshotRecord) -> SnapshotRecord:
    return snapshot.model_copy(update={"changed": snapshot.changed[:_CHANGED], "left_out": []})


def _answer(volumes: list[VolumeRecord], *, as_list: bool = False) -> CallToolResult:
    lines = [volume_line(volume) for volume in volumes] or ["no volumes"]
    return _told(lines, VolumeList(volumes=volumes) if as_list else volumes[0])


def _told(lines: list[str], record: Wire) -> CallToolResult:
    return CallToolResult(
        content=[TextContent(type="text", text="\n".join(lines))],
        structured_content=document(record),
    )
