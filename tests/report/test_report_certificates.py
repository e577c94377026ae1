"""certificates.parquet: one row per image, sigma and k, agreeing with the results table."""

import pytest

from factories import simulate_run
from smoothcert.evidence import open_run
from smoothcert.evidence.results import entries
from smoothcert.report import results_table
from smoothcert.report.certificates import certificate_columns, write_certificates
from smoothcert.report.results import write_results


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return open_run(simulate_run(tmp_path_factory.mktemp("parquet") / "run", images=30, k=(1, 2), radius="0.1,0.25"))


def test_rows_add_up_to_the_results_table(run, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    table = parquet.read_table(write_certificates(run, tmp_path)).to_pylist()
    assert len(table) == 2 * 2 * 30
    for entry in entries(run.spec, run.ledger):
        mine = [row for row in table if (row["sigma"], row["k"]) == (entry.sigma, entry.k)]
        assert sum(row[f"certified_at_{entry.radius:g}"] for row in mine) == entry.certified
        assert sum(row["outcome"] == "abstained" for row in mine) == entry.abstained
        assert sum(row["outcome"] == "wrong class" for row in mine) == entry.wrong
        assert all(row["radius"] == 0 for row in mine if row["outcome"] != "certified")
        assert all(row["radius"] >= entry.radius for row in mine if row[f"certified_at_{entry.radius:g}"])


def test_columns_are_of_equal_length_and_follow_the_ledger(run):
    columns = certificate_columns(run, 0.25, 1)
    lines = run.ledger.at(0.25)
    assert {len(column) for column in columns.values()} == {30}
    assert list(columns["samples"]) == [line.samples for line in lines]
    assert list(columns["image"]) == [line.image for line in lines]


def test_the_file_is_the_same_whatever_is_read_and_written_at_a_time(run, tmp_path, monkeypatch):
    parquet = pytest.importorskip("pyarrow.parquet")
    at_once = parquet.read_table(write_certificates(run, tmp_path))
    monkeypatch.setattr("smoothcert.report.certificates.BLOCK", 7)
    monkeypatch.setattr("smoothcert.report.certificates.ROWS", 20)
    path = write_certificates(run, tmp_path)
    assert parquet.ParquetFile(path).num_row_groups > 4
    assert parquet.read_table(path).equals(at_once)
    assert [each.name for each in tmp_path.iterdir()] == ["certificates.parquet"]


def test_radii_that_differ_in_the_seventh_digit_have_a_column_each(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    close = open_run(simulate_run(tmp_path / "run", images=4, radius="0.1234567,0.1234568,0.25"))
    names = {name for name in certificate_columns(close, 0.25, 1) if name.startswith("certified_at_")}
    assert names == {"certified_at_0.1234567", "certified_at_0.1234568", "certified_at_0.25"}
    assert names <= set(parquet.read_schema(write_certificates(close, tmp_path)).names)
    table = results_table(close.results())
    assert len({row[table.headings.index("r")] for row in table.rows}) == 3
    written = [path.name for path in write_results(close, tmp_path) if path.name.startswith("classes_")]
    assert len(set(written)) == 3
