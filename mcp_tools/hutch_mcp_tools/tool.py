"""What all tools share: closed parameters, and errors that a model can mend and that tell nothing else."""

import inspect
from collections.abc import Awaitable, Callable
from types import new_class
from typing import Any, cast

from mcp.server.mcpserver.context import Context
from mcp.server.mcpserver.exceptions import ToolError, UnexpectedToolError
from mcp.server.mcpserver.tools import Tool
from mcp.server.mcpserver.utilities.func_metadata import ArgModelBase
from mcp.types import ToolAnnotations
from pydantic import ValidationError
from pydantic.json_schema import GenerateJsonSchema
from typing_extensions import override

from hutch_mcp_tools.hints import hint_for_tools
from hutch_mcp_tools.service import ServiceError
from hutch_mcp_tools.text import harmless

READS = ToolAnnotations(read_only_hint=True, open_world_hint=False)
STARTS = ToolAnnotations(
    read_only_hint=False, destructive_hint=True, idempotent_hint=False, open_world_hint=True
)
WRITES = ToolAnnotations(
    read_only_hint=False, destructive_hint=True, idempotent_hint=False, open_world_hint=False
)
ENDS = ToolAnnotations(
    read_only_hint=False, destructive_hint=True, idempotent_hint=True, open_world_hint=False
)

# Claude Code hides the tools of a server behind a search, except those that say this.
ALWAYS_LOADED = {"anthropic/alwaysLoad": True}
# Up to here it shows an answer instead of writing it into a file; the answer's own limit is smaller.
LONG_ANSWERS = {"anthropic/maxResultSizeChars": 400_000}

INTERNAL = "error: internal: an internal error\nhint: the daemon's log has the details"


class SandboxTool(Tool):
    """A tool whose refusals read `error: <code>: <message>` and `hint: …`."""

    @override
    async def run(
        self, arguments: dict[str, Any], context: Context[Any, Any], convert_result: bool = False
    ) -> object:
        given = {name: value for name, value in arguments.items() if value is not None}  # null: not given
        try:
            return await super().run(given, context, convert_result)
        except UnexpectedToolError as error:
            if isinstance(error.__cause__, ServiceError):
                raise ToolError(error_text(error.__cause__)) from error.__cause__
            raise UnexpectedToolError(INTERNAL) from error.__cause__  # the SDK logs its cause
        except ToolError as error:
            if isinstance(error.__cause__, ValidationError):
                raise ToolError(_invalid(error.__cause__, self.parameters)) from error.__cause__
            raise


def tool(
    function: Callable[..., Awaitable[Any]],
    title: str,
    annotations: ToolAnnotations,
    meta: dict[str, Any] | None = None,
    *,
    structured: bool,
) -> Tool:
    """A tool from a function; its docstring is what the model reads, its parameters are the schema."""
    made = SandboxTool.from_function(
        function,
        title=title,
        description=inspect.getdoc(function),
        annotations=annotations,
        meta=meta,
        structured_output=structured,
    )
    # Left open, the SDK's argument model would let a misspelt parameter pass without a word.
    known = made.fn_metadata.arg_model
    closed = cast("type[ArgModelBase]", new_class(known.__name__, (known,), {"extra": "forbid"}))
    made.fn_metadata = made.fn_metadata.model_copy(update={"arg_model": closed})
    made.parameters = closed.model_json_schema(by_alias=True, schema_generator=_Untitled)
    return made


class _Untitled(GenerateJsonSchema):
    """The generated titles only repeat the names, in every request that a model gets."""

    @override
    def field_title_should_be_set(self, schema: object) -> bool:
        return False


def error_text(error: ServiceError) -> str:
    """How an error reads to a model."""
    hint = hint_for_tools(error.code, error.hint)
    text = f"error: {error.code}: {error.message}" + (f"\nhint: {hint}" if hint else "")
    return harmless(text)  # a message may name what a sandbox has named


def _invalid(error: ValidationError, parameters: dict[str, Any]) -> str:
    """Names each wrong argument and what is wrong; not its value, which may be long or secret."""
    wrong = []
    for one in error.errors(include_url=False, include_context=False, include_input=False):
        where = ".".join(str(part) for part in one["loc"])
        unknown = one["type"] == "extra_forbidden"
        wrong.append(f"{where}: no such parameter" if unknown else f"{where}: {one['msg']}")
    return error_text(
        ServiceError(
            "arguments_invalid",
            "; ".join(wrong[:5]),
            f"the parameters are {', '.join(parameters['properties'])}",
        )
    )
