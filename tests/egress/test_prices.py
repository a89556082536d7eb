"""What tokens cost."""

from decimal import Decimal

import pytest

from hutch.egress.meter import Price, Prices, Used

ANTHROPIC = "api.anthropic.com"
OPUS = Used("claude-opus-5-5", 1000, 50, 200, 30)


def cost(used: Used, host: str = ANTHROPIC, **own: Price) -> Decimal | None:
    return Prices(own).cost_usd(used, host)


def test_a_known_model_at_its_provider_and_at_a_gateway() -> None:
    assert cost(OPUS) == Decimal("0.00519")
    assert cost(OPUS, "gateway.example.org") == Decimal("0.00519")


def test_what_is_kept_for_an_hour_costs_more_and_so_do_searches_and_speed() -> None:
    assert cost(Used("claude-opus-5-5", cache_write_tokens=1_000_000)) == 5
    assert cost(Used("claude-opus-5-5", cache_write_tokens=1_000_000, cache_write_1h_tokens=1_000_000)) == 8
    assert cost(Used("claude-opus-5-5", web_searches=1000)) == 10
    assert cost(Used("claude-opus-5-5", output_tokens=1_000_000, speed="fast")) == 40


@pytest.mark.parametrize("model", ["stub-model", "", "x" * 10_000, "claude\n"])
@pytest.mark.parametrize("host", [ANTHROPIC, "gateway.example.org", "127.0.0.1"])
def test_a_model_that_nobody_knows_has_no_price(model: str, host: str) -> None:
    assert cost(Used(model, 1000, 50), host) is None


def test_a_model_that_the_list_has_without_a_price_has_none() -> None:
    assert cost(Used("gpt-4o", 1000, 50), "api.githubcopilot.com") != 0
    assert cost(Used("gemma-3", 1000, 50), "generativelanguage.googleapis.com") is None


def test_the_owners_price_comes_first() -> None:
    price = Price(Decimal(1), Decimal(2), Decimal("0.5"), Decimal(4))
    own = {"stub": price, "claude-opus-5-5": price}
    million = Used("stub", 1_000_000, 1_000_000, 1_000_000, 1_000_000, stated_usd=Decimal(99))
    assert Prices(own).cost_usd(million, ANTHROPIC) == Decimal("7.5")
    assert Prices(own).cost_usd(OPUS, ANTHROPIC) != Decimal("0.00519")
    plain = Prices({"stub": Price(Decimal(1), Decimal(2))})
    assert plain.cost_usd(million, ANTHROPIC) == 5  # without a price of its own, what is cached is input


def test_a_gateways_word_comes_before_the_list() -> None:
    used = Used("claude-opus-5-5", 1000, 50, stated_usd=Decimal("0.5"))
    assert cost(used, "openrouter.ai") == Decimal("0.5")
