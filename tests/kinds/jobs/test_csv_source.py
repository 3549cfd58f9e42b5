"""The source over a CSV file."""

import pytest

from execlog.kinds.jobs import csv_source
from execlog.kinds.jobs.prices import Price
from execlog.kinds.jobs.sources import CsvConfig, FetchError

YEAR = ("2000-01-01", "2000-12-31")


def test_a_csv_file_is_read_again_when_it_changes(tmp_path):
    path = tmp_path / "prices.csv"
    source = csv_source.CsvSource(CsvConfig(str(path), close="close"))
    with pytest.raises(FetchError, match=r"prices.csv cannot be read"):
        source.fetch("A", *YEAR)
    path.write_text("symbol,date,close\nA,2000-01-01,1\n")
    assert source.fetch("A", *YEAR) == [Price("2000-01-01", 1.0)]
    path.write_text("symbol,date,close\nA,2000-01-01,12\n")
    assert source.fetch("A", *YEAR) == [Price("2000-01-01", 12.0)]
    with pytest.raises(FetchError, match="unknown symbol B"):
        source.fetch("B", *YEAR)
    path.write_text("ticker,date,close\n")
    with pytest.raises(FetchError, match="no column symbol"):
        source.fetch("A", *YEAR)
    path.write_text("symbol,date,close\nA,2000-01-01,dear\n")
    with pytest.raises(FetchError, match="row 2 is not a price"):
        source.fetch("A", *YEAR)


def test_a_row_of_a_csv_file_that_is_no_price_fails_its_own_symbol_only(tmp_path):
    path = tmp_path / "prices.csv"
    path.write_text("symbol,date,price\nA,2000-01-01,1\nB,2000-01-01,n/a\nA,2000-01-02,2\nB,2000-01-02,2\n")
    source = csv_source.CsvSource(CsvConfig(str(path)))
    assert len(source.fetch("A", *YEAR)) == 2
    with pytest.raises(FetchError, match=r"^prices\.csv: row 3 is not a price"):
        source.fetch("B", *YEAR)
