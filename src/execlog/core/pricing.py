"""What model calls cost: from the price tables of `genai-prices` (extra `prices`), or from a tariff of one's own.

Prices are decimal numbers per million tokens; a call's cost is computed exactly and rounded to 10⁻⁹ dollars, half to
even. A price that is not known is None, never 0; `NOT_KNOWN` for a table's name says that it was looked for already.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from datetime import datetime
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any, Protocol

from msgspec import Struct
from msgspec.structs import replace

from execlog.core.clock import moment
from execlog.core.model import Event, Usage

_NANO, _MILLION = Decimal(10**9), Decimal(10**6)
_MOST_NANO = 2**63 - 1
_FEW = 1_000


NOT_KNOWN = ""


class CallUsage(Struct, frozen=True, kw_only=True):
    """Tokens of one call.

    cached and the two writes are part of `input`, reasoning is part of `output`.

    cache_write       tokens written to the provider's cache in all; cache_write_1h of them for an hour
    more              what else may have a price, by its name in genai-prices: input_audio_tokens, web_searches …
    terms             what the price depends on besides: service_tier, speed
    """

    input: int = 0
    output: int = 0
    cached: int = 0
    reasoning: int = 0
    cache_write: int = 0
    cache_write_1h: int = 0
    more: dict[str, int] = {}
    terms: dict[str, str] = {}


class Price(Struct, frozen=True):
    """What a call cost, in 10⁻⁹ US dollars, and the table and version that says so."""

    nano: int
    prices: str


class PriceTable(Protocol):
    """Knows what models cost."""

    def price(
        self, model: str, usage: CallUsage, *, provider: str | None, base_url: str | None, at: datetime
    ) -> Price | None:
        """What a call at this moment cost; None where the model, or who provides it, is not known.

        provider    as the table calls it; without one, it is told by the base URL; without either, by the model's name
                    where that is one provider's own, such as "gpt-4o"
        """
        ...


class Rate(Struct, frozen=True):
    """US dollars per million tokens; without a rate of their own, cached tokens cost as much as others."""

    input: Decimal
    output: Decimal
    cached: Decimal | None = None


class Tariff:
    """A price table of one's own: `Tariff({"our-model": Rate(Decimal("0.5"), Decimal("1.5"))}, "our tariff 3")`."""

    def __init__(self, rates: Mapping[str, Rate], version: str) -> None:
        self._rates = dict(rates)
        self.version = version

    def price(
        self, model: str, usage: CallUsage, *, provider: str | None, base_url: str | None, at: datetime
    ) -> Price | None:
        """What the call cost by this tariff, whoever provides the model."""
        del provider, base_url, at
        rate = self._rates.get(model)
        if rate is None:
            return None
        cached = rate.input if rate.cached is None else rate.cached
        per_million = (usage.input - usage.cached) * rate.input + usage.cached * cached + usage.output * rate.output
        return Price(to_nano(per_million / _MILLION), self.version)


class GenaiPrices:
    """The price tables of the package genai-prices. Raises ImportError where it is not installed."""

    def __init__(self) -> None:
        import genai_prices

        self._package: Any = genai_prices
        self.version = f"genai-prices {genai_prices.__version__}"

    def price(
        self, model: str, usage: CallUsage, *, provider: str | None, base_url: str | None, at: datetime
    ) -> Price | None:
        """What the call cost; nothing is known of a model at an address that is no provider's."""
        place: dict[str, Any] = {"provider_id": provider} if provider else {"provider_api_url": base_url}
        units = {
            "input_tokens": usage.input,
            "output_tokens": usage.output,
            "cache_read_tokens": usage.cached,
            "cache_write_tokens": usage.cache_write,
            "cache_write_5m_tokens": max(usage.cache_write - usage.cache_write_1h, 0),
            "cache_write_1h_tokens": usage.cache_write_1h,
            "output_reasoning_tokens": usage.reasoning,
        }
        place["price_context"] = usage.terms or None
        try:
            used = self._package.Usage(**units, **usage.more)
            found = self._package.calc_price(used, model, genai_request_timestamp=at, **place)
        except (LookupError, ValueError):
            return None
        updated = f" of {found.auto_update_timestamp:%Y-%m-%d}" if found.auto_update_timestamp else ""
        return Price(to_nano(found.total_price), f"{self.version}{updated}")


class NoPrices:
    """Knows no price: tokens are counted, and cost is not known."""

    version = ""

    def price(
        self, model: str, usage: CallUsage, *, provider: str | None, base_url: str | None, at: datetime
    ) -> Price | None:
        """None."""
        del model, usage, provider, base_url, at


class Prices:
    """Several tables, asked one after the other."""

    def __init__(self, *tables: PriceTable) -> None:
        self._tables = tables

    def price(
        self, model: str, usage: CallUsage, *, provider: str | None, base_url: str | None, at: datetime
    ) -> Price | None:
        """The first price that one of the tables knows."""
        found = (table.price(model, usage, provider=provider, base_url=base_url, at=at) for table in self._tables)
        return next((price for price in found if price is not None), None)


@functools.lru_cache(maxsize=1)
def installed_prices() -> PriceTable:
    """The tables of genai-prices where the extra `prices` is installed; else one that knows no price."""
    try:
        return GenaiPrices()
    except ImportError:
        return NoPrices()


def price_event(event: Event, table: PriceTable) -> Event:
    """The event with the cost of each model whose tokens were told without it, as the table knows it at that time."""
    if not event.usage:
        return event
    usage = {model: _priced(model, calls, table, event.at) for model, calls in event.usage.items()}
    return event if usage == event.usage else replace(event, usage=usage)


def _priced(model: str, calls: Usage, table: PriceTable, at: int) -> Usage:
    if not model or calls.cost_nano is not None or calls.prices is not None or not (calls.input or calls.output):
        return calls
    whole = CallUsage(input=calls.input, output=calls.output, cached=calls.cached, reasoning=calls.reasoning)
    price = _price(model, whole, table, at)
    if price is None or (calls.calls > 1 and not _is_even(model, whole, table, at, price)):
        return calls
    return replace(calls, cost_nano=price.nano, prices=price.prices)


def _is_even(model: str, whole: CallUsage, table: PriceTable, at: int, price: Price) -> bool:
    """Whether many calls cost what one call of all their tokens does.

    They do not where long inputs have a price of their own, and the sum is long: which calls were is not known then.
    """
    some = CallUsage(
        input=min(whole.input, _FEW), output=min(whole.output, _FEW), cached=min(whole.cached, whole.input, _FEW)
    )
    rest = CallUsage(
        input=whole.input - some.input, output=whole.output - some.output, cached=whole.cached - some.cached
    )
    parts = [_price(model, part, table, at) for part in (some, rest)]
    return abs(sum(part.nano for part in parts if part is not None) - price.nano) <= len(parts)


def _price(model: str, usage: CallUsage, table: PriceTable, at: int) -> Price | None:
    price = table.price(model, usage, provider=None, base_url=None, at=moment(at))
    return price if price is not None and 0 <= price.nano <= _MOST_NANO else None


def to_nano(dollars: Decimal) -> int:
    """An amount as a count of 10⁻⁹ dollars, half to even."""
    return int((dollars * _NANO).to_integral_value(rounding=ROUND_HALF_EVEN))
