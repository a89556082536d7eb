"""The meter: what a model's answer says was used, and what that costs. Pure: bytes in, figures out.

    reader = Reader()
    reader.feed(any_piece_of_the_body)                   # however it is cut, the figures are the same
    used = reader.finish(is_whole=True)                  # None: nothing here speaks of usage
    if used:
        cost = prices.cost_usd(used, host="api.anthropic.com")   # None: nobody knows a price of this model

Read are the APIs of Anthropic (messages), OpenAI (chat completions, responses), Google (generateContent) and
whatever speaks like one of them, told apart by the form of the answer alone: a gateway's host and path say
nothing. What a provider counts for us is what counts; nothing is estimated here.

    asked_in(path, body)                                 # of a request: which model, and its own bounds
"""

from hutch.egress.meter.apis import Api, api_of, is_free, is_unseen, model_in, refusal
from hutch.egress.meter.asked import Asked, asked_in
from hutch.egress.meter.prices import Price, Prices, read_prices, sizes_of
from hutch.egress.meter.reader import Reader
from hutch.egress.meter.used import Used

__all__ = [
    "Api",
    "Asked",
    "Price",
    "Prices",
    "Reader",
    "Used",
    "api_of",
    "asked_in",
    "is_free",
    "is_unseen",
    "model_in",
    "read_prices",
    "refusal",
    "sizes_of",
]
