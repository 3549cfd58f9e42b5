"""What model calls cost that were told without it: by the table where it knows the model, and never a wrong number."""

from __future__ import annotations

from decimal import Decimal

import pytest

import execlog
from execlog.core import pricing
from execlog.core.clock import micros
from execlog.core.filter import Filter
from execlog.core.model import Event, Usage
from execlog.core.pricing import NOT_KNOWN, Price, Rate, Tariff, price_event
from execlog.history.statistics import figures, statistics
from execlog.ledger import Ledger

TARIFF = Tariff({"ours": Rate(Decimal(2), Decimal(10), Decimal(1))}, "ours 3")
AT = 1_790_000_000_000_000


def priced(table=TARIFF, **usage) -> dict[str, Usage]:
    found = price_event(Event(id="e", kind="task", at=AT, usage=usage), table).usage
    assert found is not None
    return found


class Steps:
    """Input dearer from 200,000 tokens a call on, as some providers have it."""

    def price(self, model, usage, *, provider, base_url, at):
        del model, provider, base_url
        assert micros(at) == AT, "the price of that day"
        return Price(usage.input * (2_000 if usage.input >= 200_000 else 1_000), "steps")


def test_tokens_without_a_cost_get_one_and_say_from_where():
    found = priced(ours=Usage(1_000, 100, cached=400, calls=3))["ours"]
    assert (found.cost_nano, found.prices) == (600 * 2_000 + 400 * 1_000 + 100 * 10_000, "ours 3")


@pytest.mark.parametrize(
    ("model", "usage"),
    [
        ("nobody's", Usage(1_000, 100)),
        ("ours", Usage(1_000, 100, cost_nano=7)),
        ("ours", Usage(1_000, 100, cost_nano=0, prices="a gift")),
        ("ours", Usage(1_000, 100, prices=NOT_KNOWN)),
        ("ours", Usage(0, 0)),
        ("ours", Usage(2**62, 2**62)),
        ("", Usage(1_000, 100)),
    ],
)
def test_what_is_unknown_said_already_or_beyond_numbers_stays_as_it_is(model, usage):
    assert priced(**{model: usage}) == {model: usage}


def test_many_calls_in_one_sum_are_not_priced_as_one_long_call():
    assert priced(Steps(), m=Usage(300_000))["m"].cost_nano == 600_000_000
    assert priced(Steps(), m=Usage(150_000, calls=5))["m"].cost_nano == 150_000_000
    assert priced(Steps(), m=Usage(300_000, calls=5))["m"].cost_nano is None, "which calls were long is not known"


@pytest.fixture
def ledger(tmp_path):
    with Ledger.open("memory://", home=tmp_path) as opened:
        execlog.configure(opened)
        yield opened


def record(ledger) -> None:
    with execlog.run("known") as run:
        run.usage("gpt-4o", input=1_000, output=500)
        run.usage("gpt-4o", input=1_000, output=500)
    with execlog.run("unknown") as run:
        run.usage("nobody-knows", input=10, output=5)
    ledger.flush()


def test_a_run_that_tells_its_tokens_is_priced_on_its_way_into_the_store(ledger):
    genai_prices = pytest.importorskip("genai_prices")
    record(ledger)
    known = ledger.store.find(Filter(subject="known", min_cost_nano=1)).entries[0]
    calls = (ledger.store.get(known.id, kind=known.kind).usage or {})["gpt-4o"]
    assert calls.prices == f"genai-prices {genai_prices.__version__}"
    whole = genai_prices.calc_price(genai_prices.Usage(input_tokens=2_000, output_tokens=1_000), "gpt-4o")
    assert calls.cost_nano == int(whole.total_price * 10**9)
    by_name = {line.key: line.cost for line in statistics(ledger.store, Filter(), group_by="subject").groups}
    assert by_name == {"known": whole.total_price, "unknown": None}, "unknown is not free"
    assert figures(ledger.store.stats(Filter(subject="none"))[0]).cost == 0


def test_a_fault_of_the_table_keeps_no_record_from_the_store(ledger, monkeypatch, caplog):
    class Broken:
        def price(self, *_args, **_named):
            raise AttributeError("broken table")

    monkeypatch.setattr(pricing, "installed_prices", Broken)
    record(ledger)
    assert ledger.store.count(Filter()) == 2
    assert "the cost of a record is not computed" in caplog.text
