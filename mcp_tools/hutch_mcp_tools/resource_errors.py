"""What a resource that cannot be read is told as."""

from mcp.server.mcpserver.exceptions import ResourceError, ResourceNotFoundError

from hutch_mcp_tools.service import ServiceError
from hutch_mcp_tools.tool import error_text

_NOT_THERE = frozenset({"not_a_folder", "snapshot_thinned"})


def resource_error(error: ServiceError) -> ResourceError:
    """A protocol error; which kind says whether there is such a thing."""
    is_absent = error.code.endswith("_unknown") or error.code in _NOT_THERE
    return (ResourceNotFoundError if is_absent else ResourceError)(error_text(error))
