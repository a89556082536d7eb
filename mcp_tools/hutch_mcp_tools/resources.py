"""What can be read by its address: a run's log, a session's log, a file of a volume."""

import json
from base64 import b64decode

from mcp.server import MCPServer
from mcp.server.mcpserver.exceptions import ResourceError, ResourceNotFoundError

from hutch_mcp_tools.excerpt import Log
from hutch_mcp_tools.service import SandboxService, ServiceError, Stream
from hutch_mcp_tools.tool import error_text
from hutch_mcp_tools.volume_records import ReadVolumeRequest
from hutch_mcp_tools.volume_text import is_binary

LOG_BYTES = 1 << 20  # the end of a longer log; get_run pages through all of it
FILE_BYTES = 4 << 20


class Resources:
    """Reads only. A log comes as it was written: this is the place for the raw bytes."""

    def __init__(self, service: SandboxService) -> None:
        self._service = service

    def register(self, server: MCPServer) -> None:
        server.resource("hutch://runs/{run_id}/stdout", title="A run's stdout")(self.stdout)
        server.resource("hutch://runs/{run_id}/stderr", title="A run's stderr")(self.stderr)
        server.resource("hutch://sessions/{session_id}/log", title="Stdout of a session's newest run")(
            self.session_log
        )
        server.resource(
            "hutch://volumes/{name}/{+path}", title="A file of a volume", mime_type="application/octet-stream"
        )(self.volume_file)

    async def stdout(self, run_id: str) -> str:
        return await self._log(run_id, "stdout")

    async def stderr(self, run_id: str) -> str:
        return await self._log(run_id, "stderr")

    async def session_log(self, session_id: str) -> str:
        try:
            session = await self._service.get_session(session_id)
        except ServiceError as error:
            raise resource_error(error) from None
        return await self._log(session.run_id, "stdout") if session.run_id else ""

    async def volume_file(self, name: str, path: str) -> str | bytes:
        request = ReadVolumeRequest(volume=name, path=path, limit=FILE_BYTES)
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

    async def _log(self, run_id: str, stream: Stream) -> str:
        log = Log(self._service, run_id, stream)
        try:
            await log.read(0, 1)
            start = max(0, log.size - LOG_BYTES)
            data = await log.read(start, LOG_BYTES)
        except ServiceError as error:
            raise resource_error(error) from None
        paged = f'get_run(run_id="{run_id}", stream="{stream}", cursor=0) pages through all'
        notice = f"[…{start} bytes left out; {paged}]\n" if start else ""
        return notice + data.decode("utf-8", "replace")


def resource_error(error: ServiceError) -> ResourceError:
    """A protocol error; which kind says whether there is such a thing."""
    kind = ResourceNotFoundError if error.code.endswith("_unknown") else ResourceError
    return kind(error_text(error))
