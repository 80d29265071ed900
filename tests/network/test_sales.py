"""Sales histories: what is read, and one refusal for each kind of bad input."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hmarl.errors import InputError
from hmarl.network.sales import SalesHistory, read_sales, weekday_of

DAYS = pd.date_range("2024-01-01", periods=10, freq="D").strftime("%Y-%m-%d")


def rows(units=lambda t: t, dates=DAYS, store="north", sku="coffee") -> list[dict[str, object]]:
    return [{"date": d, "store": store, "sku": sku, "units": units(t)} for t, d in enumerate(dates)]


def written(tmp_path: Path, table: list[dict[str, object]] | str, name: str = "sales.csv") -> Path:
    path = tmp_path / name
    if isinstance(table, str):
        path.write_text(table)
    elif name.endswith(".parquet"):
        pd.DataFrame(table).to_parquet(path)
    else:
        pd.DataFrame(table).to_csv(path, index=False)
    return path


def read(tmp_path: Path, table: list[dict[str, object]] | str, **options) -> SalesHistory:
    return read_sales(written(tmp_path, table), **options)


def refused(tmp_path: Path, table: list[dict[str, object]] | str, *parts: str, **options) -> None:
    path = written(tmp_path, table)
    with pytest.raises(InputError) as caught:
        read_sales(path, **options)
    message = str(caught.value)
    assert "\n" not in message
    for part in (str(path), *parts):
        assert part in message


def test_daily_history_of_two_stores(tmp_path):
    history = read(tmp_path, rows() + rows(lambda t: 2 * t, store="south") + rows(lambda t: 1, sku="tea"))
    assert history.stores == ("north", "south")
    assert history.skus == ("coffee", "tea")
    assert history.period == "day"
    assert history.next_date == np.datetime64("2024-01-11")
    assert weekday_of(history.dates[0]) == "monday"
    assert history.integer
    np.testing.assert_array_equal(history.units[:, 1, 0], 2 * np.arange(10))
    np.testing.assert_array_equal(history.sold, [[True, True], [True, False]])
    np.testing.assert_allclose(history.mean, [[4.5, 1], [9, 0]])


def test_weekly_history_is_found_by_the_step_of_its_dates(tmp_path):
    weeks = pd.date_range("2024-01-03", periods=9, freq="7D").strftime("%Y/%m/%d")
    history = read(tmp_path, rows(lambda t: t + 0.5, dates=weeks))
    assert history.period == "week"
    assert history.dates[1] == np.datetime64("2024-01-10")
    assert not history.integer


def test_parquet_reads_as_csv_does(tmp_path):
    table = rows()
    for row in table:
        row["date"] = pd.Timestamp(str(row["date"]))
    parquet = read_sales(written(tmp_path, table, "sales.parquet"))
    text = read(tmp_path, rows())
    np.testing.assert_array_equal(parquet.units, text.units)
    np.testing.assert_array_equal(parquet.dates, text.dates)


def test_columns_may_have_other_names_and_rows_any_order(tmp_path):
    table = [{"day": r["date"], "shop": r["store"], "sku": r["sku"], "qty": r["units"]} for r in rows()[::-1]]
    history = read(tmp_path, table, columns={"date": "day", "store": "shop", "units": "qty"})
    np.testing.assert_array_equal(history.units[:, 0, 0], np.arange(10))


def test_split_in_time(tmp_path):
    train, test = read(tmp_path, rows()).split(0.7)
    assert len(train) == 7
    assert test.dates[0] == np.datetime64("2024-01-08")
    np.testing.assert_array_equal(test.units[:, 0, 0], [7, 8, 9])


def test_a_short_history_cannot_be_split(tmp_path):
    with pytest.raises(InputError, match="5 days: at least 8"):
        read(tmp_path, rows(dates=DAYS[:5])).split()


def test_without_a_stock_column_there_is_a_warning(tmp_path):
    assert "taken for demand" in read(tmp_path, rows()).warnings[0]
    assert read(tmp_path, [{**r, "in_stock": "yes"} for r in rows()]).warnings == ()


@pytest.mark.parametrize(("column", "empty"), [("in_stock", "no"), ("stock", "0")])
def test_days_out_of_stock_take_the_mean_of_the_weekday(tmp_path, column, empty):
    dates = pd.date_range("2024-01-01", periods=21, freq="D").strftime("%Y-%m-%d")
    units = [10.0, 20, 30, 40, 50, 60, 70] * 3
    units[7] = 2  # a Monday that sold out after two: demand was higher
    units[15] = 99  # a Tuesday that sold out after 99: nothing says that demand was lower
    table = rows(lambda t: units[t], dates=dates)
    for t, row in enumerate(table):
        row[column] = empty if t in (7, 15) else "1"
    history = read(tmp_path, table)
    assert history.units[7, 0, 0] == 2
    assert history.demand[7, 0, 0] == 10  # the mean of the two other Mondays
    assert history.demand[15, 0, 0] == 99
    assert history.demand[8, 0, 0] == 20


def test_gaps_count_as_zero_only_when_told_so(tmp_path):
    table = rows()[:4] + rows()[5:] + rows(store="south")
    refused(tmp_path, table, "store 'north'", "sku 'coffee'", "2024-01-05", "--fill-gaps zero")
    history = read(tmp_path, table, fill_gaps="zero")
    np.testing.assert_array_equal(history.units[:, 0, 0], [0, 1, 2, 3, 0, 5, 6, 7, 8, 9])


def test_a_gap_of_all_series_is_a_gap(tmp_path):
    refused(tmp_path, rows()[:4] + rows()[6:], "nothing for 2024-01-05 and 1 more")


def test_missing_column(tmp_path):
    table = [{k: v for k, v in row.items() if k != "units"} for row in rows()]
    refused(tmp_path, table, "column 'units' is missing", "'date', 'store', 'sku'")


def test_column_named_by_the_user_is_missing(tmp_path):
    refused(tmp_path, rows(), "column 'qty' is missing", columns={"units": "qty"})


@pytest.mark.parametrize("bad", ["2024-02-30", "01/02/2024", "yesterday", "", "2024-1"])
def test_bad_date(tmp_path, bad):
    table = rows()
    table[3]["date"] = bad
    refused(tmp_path, table, "row 5", f"date '{bad}'", "YYYY-MM-DD")


@pytest.mark.parametrize("bad", ["-1", "many", "", "nan", "inf", "1_0", "=1+1"])
def test_negative_and_non_numeric_units(tmp_path, bad):
    table = rows()
    table[2]["units"] = bad
    refused(tmp_path, table, "row 4", f"units '{bad}'", "0 or more")


def test_duplicates(tmp_path):
    refused(tmp_path, [*rows(), rows()[2]], "row 12", "2024-01-03", "store 'north', sku 'coffee'", "row 4")


def test_one_row_and_no_row_and_nothing(tmp_path):
    refused(tmp_path, rows()[:1], "one row")
    refused(tmp_path, "date,store,sku,units\n", "no row")
    refused(tmp_path, "", "no row")


@pytest.mark.parametrize(
    "bad", ["=cmd()", "<script>", "a/b", "@sum", "+1", "-1", "[bold]x", "x\x1b[31m", "", "a\nb", "x" * 65]
)
@pytest.mark.parametrize("field", ["store", "sku"])
def test_names_with_markup_or_a_formula(tmp_path, bad, field):
    table = rows()
    table[1][field] = bad
    refused(tmp_path, table, field, "letters, digits")


def test_a_row_with_a_cell_too_many(tmp_path):
    refused(tmp_path, "date,store,sku,units\n2024-01-01,a,b,1\n2024-01-02,a,b,1,5\n", "row 3", "5 cells", "4")


def test_steps_that_are_neither_days_nor_weeks(tmp_path):
    months = pd.date_range("2024-01-01", periods=9, freq="30D").strftime("%Y-%m-%d")
    refused(tmp_path, rows(dates=months), "30 days apart", "1 (daily) or 7 (weekly)")


def test_a_weekly_history_with_a_date_between(tmp_path):
    weeks = [*pd.date_range("2024-01-01", periods=9, freq="7D").strftime("%Y-%m-%d"), "2024-01-04"]
    refused(tmp_path, rows(dates=weeks), "row 11", "2024-01-04", "whole number of weeks")


def test_a_date_far_off(tmp_path):
    refused(tmp_path, rows(dates=[*DAYS[:9], "2924-01-01"]), "row 11", "2924-01-01", "20,000")


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(InputError, match="cannot be read: No such file"):
        read_sales(tmp_path / "none.csv")
    with pytest.raises(InputError, match="cannot be read: Is a directory"):
        read_sales(tmp_path)
    (tmp_path / "x.csv").write_bytes(b"date,store,sku,units\n\xff\xfe,1,2,3\n")
    with pytest.raises(InputError, match=r"x\.csv: cannot be read as CSV in UTF-8"):
        read_sales(tmp_path / "x.csv")
    (tmp_path / "x.parquet").write_bytes(b"not parquet at all")
    with pytest.raises(InputError, match=r"x\.parquet: cannot be read as Parquet"):
        read_sales(tmp_path / "x.parquet")
    with pytest.raises(InputError, match=r"none\.parquet: cannot be read: No such file"):
        read_sales(tmp_path / "none.parquet")
