"""The benchmark's pure parts: spread, ratios within rounds, and the page as a function of measured values."""

import sys
from dataclasses import replace
from pathlib import Path
from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
sys.path.append(str(BENCHMARKS))

import cells  # noqa: E402
import figures  # noqa: E402
from page import GUARANTEES, KEPT_AND_LEFT, RATIOS, page  # noqa: E402

RATE_NAMES = sorted({name for pair in (*RATIOS, *KEPT_AND_LEFT) for name in pair})
POSITIVE = st.floats(1e-3, 1e6)


def certified(samples: int, seconds: float, at: tuple[int, ...] = (9, 7, 3)) -> figures.Certified:
    return figures.Certified(images=10, samples=samples, seconds=seconds, certified=at)


@pytest.fixture
def measured() -> figures.Measured:
    """Three rounds; every contestant has rates of its own."""
    return figures.Measured(
        command="python benchmarks/bench.py",
        trial=False,
        machine={"processor": "abacus", "date": "2000-01-01"},
        peer_version="7.7",
        scale=figures.Scale(3, 5.0, 4096, (32, 64), images=10, n_max=1000, guarantee_rounds=2),
        tried={"literal": {32: 10.0, 64: 20.0}, "art": {32: 30.0, 64: 5.0}},
        rates={name: (1000.0 + i, 2000.0 + i, 6000.0 + i) for i, name in enumerate(RATE_NAMES)},
        guarantees={
            name: (certified(11000 * i, 2.0 * i), certified(11000 * i, 4.0 * i)) for i, name in enumerate(GUARANTEES, 1)
        },
    )


def without_art(measured: figures.Measured) -> figures.Measured:
    return replace(
        measured,
        peer_version=None,
        tried={**measured.tried, "art": {}},
        rates={name: () if name.startswith("art") else found for name, found in measured.rates.items()},
        guarantees={**measured.guarantees, "art": ()},
    )


def tables(text: str) -> list[list[list[str]]]:
    """Every table of a page, as rows of cells."""
    found: list[list[list[str]]] = [[]]
    for line in text.splitlines():
        if line.startswith("|"):
            found[-1].append([entry.strip() for entry in line.strip("|").split("|")])
        elif found[-1]:
            found.append([])
    return [rows for rows in found if rows]


@given(st.lists(POSITIVE, min_size=1, max_size=9))
def test_a_spread_is_median_and_extremes(values: list[float]) -> None:
    found = figures.spread(values)
    assert (found.low, found.median, found.high) == (min(values), median(values), max(values))
    assert found.low <= found.median <= found.high


def test_ratios_are_taken_within_rounds_so_that_a_drift_of_the_machine_cancels() -> None:
    drift = (1.0, 0.5, 0.1)
    mine, other = [300.0 * d for d in drift], [200.0 * d for d in drift]
    assert figures.ratios(mine, other) == pytest.approx((1.5, 1.5, 1.5))
    assert cells.divided(mine, other) == "1.50 (1.50 to 1.50)"


def test_the_ratio_of_medians_is_not_the_median_of_ratios() -> None:
    mine, other = (1.0, 10.0, 100.0), (100.0, 1.0, 10.0)
    assert cells.divided(mine, other) == "10.00 (0.01 to 10.00)"


def test_rounds_that_do_not_match_are_refused() -> None:
    with pytest.raises(ValueError):
        figures.ratios((1.0, 2.0), (1.0,))


@given(st.dictionaries(st.integers(1, 4096), POSITIVE, min_size=1))
def test_the_best_batch_size_is_the_fastest(tried: dict[int, float]) -> None:
    assert tried[figures.best(tried)] == max(tried.values())


def test_figures_survive_json(measured: figures.Measured) -> None:
    for each in (measured, without_art(measured)):
        assert figures.from_json(figures.to_json(each)) == each


def test_every_table_has_one_width(measured: figures.Measured) -> None:
    for each in (measured, without_art(measured)):
        found = tables(page(each))
        assert len(found) == 7
        for rows in found:
            assert len({len(row) for row in rows}) == 1


def test_rates_and_ratios_stand_where_they_belong(measured: figures.Measured) -> None:
    rates = {**measured.rates, "engine-fp32": (300.0, 200.0, 100.0), "art": (100.0, 100.0, 200.0)}
    _, shown, divided, tried, memory, *_ = tables(page(replace(measured, rates=rates)))
    assert ["this engine, fp32", "200 (100 to 300)"] in shown
    assert ["ART, fp32, batch 32 (fastest)", "100 (100 to 200)"] in shown
    assert ["this engine, fp32", "ART, fp32, batch 32 (fastest)", "2.00 (0.50 to 3.00)"] in divided
    assert tried[2:] == [["Algorithm 1 written out", "10", "20"], ["ART", "30", "5"]]
    assert memory[2][:2] == ["this engine, fp32", "200 (100 to 300)"]
    assert len(shown) == 2 + len(rates) - len(KEPT_AND_LEFT)
    assert len(memory) == 2 + len(KEPT_AND_LEFT)


def test_certificates_are_counted_of_all_images_and_by_image(measured: figures.Measured) -> None:
    found = (certified(11000, 2.0), certified(12000, 3.0, at=(9, 8, 3)))
    *_, shown, ratio = tables(page(replace(measured, guarantees={**measured.guarantees, "looks": found})))
    assert shown[2] == [
        "this engine, `stopping=looks`",
        "1,150 (1,100 to 1,200)",
        "0.250 (0.200 to 0.300)",
        "9 of 10",
        "7 to 8 of 10",
        "3 of 10",
    ]
    assert ratio[2] == ["this engine, `stopping=fixed`", "1.92 (1.83 to 2.00)", "2.33 (2.00 to 2.67)"]


def test_a_missing_peer_is_called_not_installed_in_every_table(measured: figures.Measured) -> None:
    for rows in tables(page(without_art(measured)))[1:]:
        about_art = [row for row in rows if any(entry.startswith("ART") for entry in row)]
        assert about_art
        assert all(row[-1] == cells.MISSING for row in about_art)


def test_a_trial_run_says_so(measured: figures.Measured) -> None:
    assert "too short to be a measurement" in page(replace(measured, trial=True))
    assert "too short to be a measurement" not in page(measured)


@pytest.mark.skipif(not (BENCHMARKS / "README.json").exists(), reason="no benchmark run has been kept")
def test_the_kept_page_is_what_its_figures_give() -> None:
    kept = figures.from_json((BENCHMARKS / "README.json").read_text(encoding="utf-8"))
    assert not kept.trial
    assert (BENCHMARKS / "README.md").read_text(encoding="utf-8") == page(kept)
