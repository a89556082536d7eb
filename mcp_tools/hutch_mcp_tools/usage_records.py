"""What a run may use of models, and what it was seen to use."""

from typing import Annotated

from pydantic import Field

from hutch_mcp_tools.wire import Wire


class Budget(Wire):
    """What one run may spend on models, where its network is metered."""

    budget_usd: Annotated[float, Field(gt=0)] | None = None
    budget_tokens: Annotated[int, Field(gt=0)] | None = None
    budget_requests: Annotated[int, Field(gt=0)] | None = None
    pause_at_budget: bool = False  # hold it still at the end of its own budget, instead of ending it


class Usage(Wire):
    """What a model was asked and answered; cost only where the agent's own price list knows the model."""

    input_tokens: int = 0  # without cache reads and writes
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    cost_usd: float | None = None


class ModelUsage(Usage):
    """What one model was seen to use, outside the sandbox; `cost_usd` None: nobody knows its price."""

    host: str
    model: str
    requests: int = 0
    incomplete: int = 0  # of these, answers that broke off or did not say all: the figures are a lower bound
    web_searches: int = 0
