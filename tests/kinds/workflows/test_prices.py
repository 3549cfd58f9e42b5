"""What model calls used, and what that costs."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from execlog.core.pricing import (
    GenaiPrices,
    NoPrices,
    Prices,
    Rate,
    Tariff,
    installed_prices,
    to_nano,
)
from execlog.kinds.workflows.models.usage import CallUsage, from_anthropic, from_openai

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ({"prompt_tokens": 12.0, "completion_tokens": "3"}, CallUsage(input=12, output=3)),
        ({"prompt_tokens": "many", "completion_tokens": 3}, None),
        ({"prompt_tokens": 1.5}, None),
        ({"prompt_tokens": -1}, None),
        ({"prompt_tokens": float("nan")}, None),
        ({"prompt_tokens": float("inf")}, None),
    ],
)
def test_what_cannot_be_counted_is_unknown_and_not_nothing(said, meant):
    assert from_openai(said) == meant
    names = {"prompt_tokens": "input_tokens", "completion_tokens": "output_tokens"}
    assert from_anthropic({names[name]: value for name, value in said.items()}) == meant


OPENAI_USAGE = {
    "prompt_tokens": 1000,
    "completion_tokens": 200,
    "prompt_tokens_details": {"cached_tokens": 600},
    "completion_tokens_details": {"reasoning_tokens": 150},
}


ANTHROPIC_USAGE = {
    "input_tokens": 400,
    "output_tokens": 200,
    "cache_read_input_tokens": 500,
    "cache_creation_input_tokens": 100,
    "cache_creation": {"ephemeral_5m_input_tokens": 30, "ephemeral_1h_input_tokens": 70},
    "output_tokens_details": {"thinking_tokens": 50},
}


def test_usage_fields_of_both_formats():
    assert from_openai(OPENAI_USAGE) == CallUsage(input=1000, output=200, cached=600, reasoning=150)
    assert from_anthropic(ANTHROPIC_USAGE) == CallUsage(
        input=1000, output=200, cached=500, reasoning=50, cache_write=100, cache_write_1h=70
    )
    assert from_openai({"prompt_tokens": "many", "completion_tokens": -1}) is None
    assert from_openai({"prompt_tokens": 9, "completion_tokens": 1, "cached_tokens": 4}).cached == 4
    assert from_openai(None) is None
    assert from_anthropic([]) is None


APART = {"prompt_tokens": 32, "completion_tokens": 9, "total_tokens": 135}
"""What a model reasoned is left out of its completion, and told only by the total, or besides."""
REASONED = {"completion_tokens_details": {"reasoning_tokens": 94}}
RESEARCH = {
    "prompt_tokens": 33, "completion_tokens": 7163, "total_tokens": 7196, "citation_tokens": 20016,
    "num_search_queries": 18, "reasoning_tokens": 94305,
}  # fmt: skip
AUDIO = {
    "prompt_tokens": 1000, "completion_tokens": 500, "total_tokens": 1500,
    "prompt_tokens_details": {"audio_tokens": 400, "text_tokens": 600, "cached_tokens": 0},
    "completion_tokens_details": {"audio_tokens": 300, "text_tokens": 200, "reasoning_tokens": 0},
}  # fmt: skip
SEARCHED = ANTHROPIC_USAGE | {"server_tool_use": {"web_search_requests": 3, "web_fetch_requests": 0}}


@pytest.mark.parametrize(
    ("said", "output", "reasoning"),
    [
        (APART | REASONED, 103, 94),
        (APART, 103, 94),
        (RESEARCH, 7163 + 94305 + 20016, 94305),
        (OPENAI_USAGE | {"total_tokens": 1200}, 200, 150),
        (APART | {"completion_tokens_details": {"reasoning_tokens": 5}}, 9, 5),
        (APART | {"total_tokens": 12}, 9, 0),
    ],
)
def test_reasoning_that_is_counted_apart_is_part_of_the_output(said, output, reasoning):
    used = from_openai(said)
    assert (used.output, used.reasoning) == (output, reasoning)


def test_tokens_of_the_cache_by_another_name():
    hits = {"prompt_tokens": 1000, "prompt_cache_hit_tokens": 640, "prompt_cache_miss_tokens": 360}
    assert from_openai(hits).cached == 640


@pytest.mark.parametrize(
    ("usage", "model", "dollars"),
    [
        (from_openai(OPENAI_USAGE, "default"), "gpt-5", "0.002575"),
        (from_openai(OPENAI_USAGE, "flex"), "gpt-5", "0.0012875"),
        (from_openai(OPENAI_USAGE, "priority"), "gpt-5", "0.00515"),
        (from_openai(OPENAI_USAGE, None), "gpt-5", "0.002575"),
        (from_anthropic(ANTHROPIC_USAGE | {"service_tier": "standard"}), "claude-opus-5", "0.0081375"),
        (from_anthropic(ANTHROPIC_USAGE | {"speed": "fast"}), "claude-opus-5", "0.016275"),
    ],
)
def test_the_cost_is_that_of_the_tier_it_was_served_in(usage, model, dollars):
    pytest.importorskip("genai_prices")
    provider = "openai" if model == "gpt-5" else "anthropic"
    at = datetime(2026, 11, 1, tzinfo=UTC)
    price = GenaiPrices().price(model, usage, provider=provider, base_url=None, at=at)
    assert price.nano == to_nano(Decimal(dollars))


@pytest.mark.parametrize(
    ("provider", "flavor", "usage", "read", "model"),
    [
        ("openai", "chat", OPENAI_USAGE, from_openai, "gpt-4o"),
        ("openai", "chat", AUDIO, from_openai, "gpt-audio"),
        ("x-ai", "chat", APART | REASONED, from_openai, "grok-3-mini"),
        ("perplexity", "default", RESEARCH, from_openai, "sonar-deep-research"),
        ("anthropic", "default", ANTHROPIC_USAGE, from_anthropic, "claude-sonnet-4-5"),
        ("anthropic", "default", SEARCHED, from_anthropic, "claude-sonnet-4-5"),
    ],
)
def test_the_cost_is_the_tables_own(provider, flavor, usage, read, model):
    genai_prices = pytest.importorskip("genai_prices")
    theirs = genai_prices.extract_usage({"model": model, "usage": usage}, provider_id=provider, api_flavor=flavor)
    expected = theirs.calc_price(genai_request_timestamp=NOW).total_price
    price = GenaiPrices().price(model, read(usage), provider=provider, base_url=None, at=NOW)
    assert price.nano == to_nano(expected)
    assert price.nano > 0
    assert price.prices == f"genai-prices {genai_prices.__version__}"


def test_an_unknown_model_or_place_has_no_price():
    pytest.importorskip("genai_prices")
    table, used = GenaiPrices(), CallUsage(input=10, output=10)
    assert table.price("no-such-model", used, provider="openai", base_url=None, at=NOW) is None
    assert table.price("gpt-4o", used, provider="nobody", base_url=None, at=NOW) is None
    assert table.price("gpt-4o", used, provider=None, base_url="http://127.0.0.1:1/v1", at=NOW) is None
    assert table.price("llama-3.3-70b-instruct", used, provider=None, base_url=None, at=NOW) is None, "many sell it"
    assert table.price("gpt-4o", used, provider=None, base_url="https://api.openai.com/v1", at=NOW) is not None


def test_a_tariff_of_ones_own_is_exact():
    tariff = Tariff({"m": Rate(Decimal("0.1"), Decimal("0.3"), Decimal("0.05"))}, "ours 3")
    price = tariff.price("m", CallUsage(input=3, output=1, cached=1), provider=None, base_url=None, at=NOW)
    # 2 × 0.1 + 1 × 0.05 + 1 × 0.3 = 0.55 dollars per million = 550 × 10⁻⁹
    assert (price.nano, price.prices) == (550, "ours 3")
    assert tariff.price("n", CallUsage(), provider=None, base_url=None, at=NOW) is None
    both = Prices(NoPrices(), tariff)
    assert both.price("m", CallUsage(input=10**6), provider=None, base_url=None, at=NOW).nano == 100_000_000


def test_without_the_extra_there_are_no_prices(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "genai_prices", None)
    installed_prices.cache_clear()
    try:
        assert isinstance(installed_prices(), NoPrices)
    finally:
        installed_prices.cache_clear()
