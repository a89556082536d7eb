"""Volumes as resources: `hutch://volumes/NAME/PATH`, at a snapshot with `?at=…`; found by completion."""

import json
from base64 import b64decode

from mcp.server import MCPServer
from mcp.types import (
    Completion,
    CompletionArgument,
    CompletionContext,
    PromptReference,
    Resource,
    ResourceTemplateReference,
)

from hutch_mcp_tools.resource_errors import resource_error
from hutch_mcp_tools.service import SandboxService, ServiceError
from hutch_mcp_tools.volume_records import ReadVolumeRequest
from hutch_mcp_tools.volume_text import is_binary, volume_uri

FILE_BYTES = 4 << 20
TEMPLATE = "hutch://volumes/{name}/{+path}{?at}"
_LISTED = 100  # volumes that are resources of their own, values of one completion
_ENTRIES = 1000  # of a folder, looked through for a completion


class VolumeResources:
    """Reads only."""

    def __init__(self, service: SandboxService) -> None:
        self._service = service

    def register(self, server: MCPServer) -> None:
        server.resource(
            TEMPLATE,
            title="A file or folder of a volume",
            description="at: a snapshot's number, a tag, a time or an age; the newest unless given.",
            mime_type="application/octet-stream",
        )(self.read)
        server.completion()(self.complete)  # type: ignore[no-untyped-call]

    async def listed(self) -> list[Resource]:
        """Each volume by its root."""
        try:
            volumes = await self._service.list_volumes()
        except ServiceError as error:
            raise resource_error(error) from None
        return [
            Resource(
                uri=volume_uri(volume.name, ""),
                name=volume.name,
                title=f"Volume {volume.name}",
                description=f"{volume.files} files, {volume.bytes} bytes, snapshot {volume.snapshot}",
                mime_type="application/json",
            )
            for volume in volumes[:_LISTED]
        ]

    async def read(self, name: str, path: str, at: str = "") -> str | bytes:
        request = ReadVolumeRequest(volume=name, path=path, at=at or None, limit=FILE_BYTES)
        try:
            content = await self._service.read_volume(request)
        except ServiceError as error:
            raise resource_error(error) from None
        if content.kind != "file":
            return json.dumps(content.model_dump(mode="json", exclude_none=True), indent=1)
        if content.next is not None:
            hint = f'page through it: read_volume(volume="{name}", path=…, offset=…)'
            too_large = ServiceError("file_too_large", f"the file has {content.size} bytes", hint)
            raise resource_error(too_large)
        data = b64decode(content.data_base64 or "")
        return data if is_binary(data) else data.decode()

    async def complete(
        self,
        ref: PromptReference | ResourceTemplateReference,
        argument: CompletionArgument,
        context: CompletionContext | None,
    ) -> Completion | None:
        """Names of volumes, of what is in their folders, of their snapshots."""
        if not isinstance(ref, ResourceTemplateReference) or ref.uri != TEMPLATE:
            return None
        known = (context.arguments if context else None) or {}
        try:
            found = await self._values(argument.name, argument.value, known)
        except ServiceError:  # no such volume or folder yet: nothing to offer
            found = []
        fitting = [value for value in found if value.startswith(argument.value)]
        return Completion(values=fitting[:_LISTED], total=len(fitting), has_more=len(fitting) > _LISTED)

    async def _values(self, argument: str, begun: str, known: dict[str, str]) -> list[str]:
        if argument == "name":
            return [volume.name for volume in await self._service.list_volumes()]
        if "name" not in known:
            return []
        if argument == "at":
            tags = await self._service.volume_tags(known["name"])
            snapshots = await self._service.volume_log(known["name"])
            return [tag.label for tag in tags] + [str(snapshot.snapshot) for snapshot in snapshots]
        folder = begun.rpartition("/")[0]
        request = ReadVolumeRequest(
            volume=known["name"], path=folder or "/", at=known.get("at") or None, limit=_ENTRIES
        )
        entries = (await self._service.read_volume(request)).entries or []
        above = f"{folder}/" if folder else ""
        return [f"{above}{entry.name}{'/' * (entry.kind == 'folder')}" for entry in entries]
