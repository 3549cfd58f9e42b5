"""What model calls cost: from the price tables of `genai-prices` (extra `prices`), or from a tariff of one's own.

Prices are decimal numbers per million tokens; a call's cost is computed exactly and rounded to 10⁻⁹ dollars, half to
even. A price that is not known is None, never 0.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from datetime import datetime
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any, Protocol

from msgspec import Struct

from execlog.kinds.workflows.models.usage import CallUsage

_NANO, _MILLION = Decimal(10**9), Decimal(10**6)


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

        provider    as the table calls it; without one, it is told by the base URL
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
        if provider is None and base_url is None:
            return None
        place: dict[str, Any] = {"provider_id": provider} if provider else {"provider_api_url": base_url}
        used = self._package.Usage(
            input_tokens=usage.input,
            output_tokens=usage.output,
            cache_read_tokens=usage.cached,
            cache_write_tokens=usage.cache_write,
            cache_write_5m_tokens=max(usage.cache_write - usage.cache_write_1h, 0),
            cache_write_1h_tokens=usage.cache_write_1h,
        )
        try:
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


def to_nano(dollars: Decimal) -> int:
    """An amount as a count of 10⁻⁹ dollars, half to even."""
    return int((dollars * _NANO).to_integral_value(rounding=ROUND_HALF_EVEN))
