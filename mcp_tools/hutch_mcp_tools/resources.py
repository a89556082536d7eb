"""What can be read of runs and sessions by its address: their logs."""

from mcp.server import MCPServer

from hutch_mcp_tools.excerpt import Log
from hutch_mcp_tools.resource_errors import resource_error
from hutch_mcp_tools.run_records import Stream
from hutch_mcp_tools.service import SandboxService, ServiceError

LOG_BYTES = 1 << 20  # the end of a longer log; get_run pages through all of it


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
