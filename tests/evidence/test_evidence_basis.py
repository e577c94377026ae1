"""The basis of cost scenarios: rates and their spread, energy events, and the estimate from stored votes."""

from dataclasses import replace

import numpy as np
import pytest

from factories import make_line, make_spec
from smoothcert.config import Production
from smoothcert.evidence import Run, RunDirectory
from smoothcert.evidence.cost import NOT_METERED, basis_of, energy_of, rate_of
from smoothcert.evidence.events import ENERGY, Event, append_event
from smoothcert.evidence.ledger import Ledger
from smoothcert.evidence.outcomes import pairwise_probabilities, prediction_estimate
from smoothcert.formats.cost import CERTIFY, CERTIFY_MOST, PREDICT, PREDICT_MOST
from smoothcert.stats import predict_counts, prediction_looks
from smoothcert.stats.sequential import alpha_spending


def a_run(tmp_path, lines, **request):
    asked = {"n0": 20, "sigma": "0.25,0.5", **request}
    spec = make_spec((0, 1), looks=(100, 1000), **asked)
    tmp_path.joinpath("events.jsonl").touch()
    return Run(RunDirectory(tmp_path), spec, Ledger(tuple(lines), (), 0))


LINES = [
    make_line(0, 0, selection={0: 20}, looks=[{0: 100}], seconds=0.5),
    make_line(1, 1, selection={1: 20}, looks=[{1: 100}, {1: 1000}], seconds=1.5),
    make_line(0, 0, selection={0: 20}, looks=[{0: 100}], sigma=0.5, seconds=1.0),
]


def test_rate_and_spread_of_two_images():
    rate, low, high = rate_of(LINES[:2])
    assert rate == pytest.approx(1140 / 2)
    assert (low, high) == (pytest.approx(120 / 0.5), pytest.approx(1020 / 1.5))


def test_the_spread_is_that_of_ten_consecutive_parts():
    rng = np.random.default_rng(1)
    seconds = rng.uniform(0.1, 0.9, 97)
    lines = [
        replace(make_line(i, 0, looks=[{0: 100}], seconds=float(s)), at=f"2026-01-02T03:{i // 60:02d}:{i % 60:02d}Z")
        for i, s in enumerate(seconds)
    ]
    shuffled = [lines[i] for i in rng.permutation(97)]
    rate, low, high = rate_of(shuffled)
    parts = np.split(seconds, np.linspace(0, 97, 11).astype(int)[1:-1])
    rates = [100 * len(part) / part.sum() for part in parts]
    assert (low, high) == (pytest.approx(min(rates)), pytest.approx(max(rates)))
    assert low <= rate <= high


def test_without_a_time_the_rate_is_unknown(tmp_path):
    lines = [make_line(0, 0, selection={0: 20}, looks=[{0: 100}], seconds=0.0)]
    assert rate_of(lines) == (None, None, None)
    assert basis_of(a_run(tmp_path, lines), Production()).rate is None


def test_the_basis_of_a_run(tmp_path):
    found = basis_of(a_run(tmp_path, LINES), Production())
    assert (found.sigma, found.device, found.precision, found.origin) == (0.25, "cpu", "fp32", "run")
    assert (found.copies, found.passes, found.seconds, found.images) == (570.0, 1260, 3.0, 4)
    assert found.done == 0.75
    assert found.copies_most == 20 + 1000
    assert found.copies_error == pytest.approx(450)  # copies 120 and 1,020: sd / sqrt 2
    assert (found.joules, found.energy_source) == (None, NOT_METERED)
    # two unanimous images: the first looks of a full batch decide
    assert (found.abstention, found.prediction_copies) == (0.0, prediction_looks(1000, 0.001, 8)[0])


def test_the_primary_cells_noise_level_is_the_one_measured(tmp_path):
    primary = {"sigma": 0.5, "radius": 0.25, "k": 1}
    assert basis_of(a_run(tmp_path, LINES, primary=primary), Production()).sigma == 0.5
    only = basis_of(a_run(tmp_path, LINES[:2], primary=primary), Production())
    assert only.sigma == 0.25  # the primary level has no image yet


def test_a_study_alone_waits_for_whole_batches(tmp_path):
    alone = basis_of(a_run(tmp_path, LINES), Production()).alone
    # batches of 512: selection 1; look at 100 1; look at 1,000 (900 more) 2
    assert alone[CERTIFY] == (2 * 512 + 4 * 512) / 2
    assert alone[CERTIFY_MOST] == 4 * 512
    assert alone[PREDICT_MOST] == 2 * 512
    assert 512 <= alone[PREDICT] <= 1024


def energy(joules, samples=100, sigma=0.25, source="RAPL"):
    return Event(
        ENERGY, "", "", {"sigma": sigma, "joules": joules, "copies": samples, "source": source, "seconds": 1.0}
    )


def test_energy_is_added_up_and_unknown_parts_are_not_zero():
    assert energy_of([]).joules is None
    assert energy_of([energy(None, source="unknown: why")]).source == "unknown: why"
    found = energy_of([energy(5.0), energy(None), energy(7.0, 300, 0.5)])
    assert (found.joules, found.samples, found.source, found.each) == (12.0, 400, "RAPL", 0.03)
    assert energy_of([energy(5.0), energy(7.0, 300, 0.5)], 0.5).each == pytest.approx(7 / 300)


def test_metered_samples_reach_the_basis(tmp_path):
    run = a_run(tmp_path, LINES)
    facts = {"copies": 1140, "joules": 57.0, "source": "NVML", "seconds": 2.0}
    append_event(run.directory.events, ENERGY, sigma=0.25, **facts)
    found = basis_of(run, Production())
    assert (found.joules, found.joules_run, found.metered) == (pytest.approx(0.05), 57.0, 1140)
    assert found.energy_source == "NVML"


def test_a_duel_is_as_hard_as_its_votes():
    lines = [
        make_line(0, 0, selection={0: 60, 1: 40}, looks=[{0: 600, 1: 400}]),
        make_line(1, 0, looks=[{0: 100}]),
        make_line(2, 0, looks=[{0: 50, 1: 50}]),
        make_line(3, 0, selection={0: 30, 1: 10, 2: 40, 3: 20}),
    ]
    rest = 0.5 + (40 - 30) / (2 * np.sqrt(70 * 100))
    assert pairwise_probabilities(lines) == pytest.approx([0.6, 1.0, 0.5, rest])
    assert pairwise_probabilities([make_line(0, 0)]) == pytest.approx([0.5])


@pytest.mark.parametrize("votes", [100, 1000])
def test_the_estimate_is_what_predicting_anew_gives(votes):
    """Images of six classes with known probabilities: the estimate from 2,000 votes against 40 predictions each."""
    rng = np.random.default_rng(3)
    chances = rng.dirichlet(np.full(6, 0.35), 150)
    lines = [make_line(i, 0, looks=[dict(enumerate(rng.multinomial(2000, p).tolist()))]) for i, p in enumerate(chances)]
    (abstains, error), (samples, _) = prediction_estimate(pairwise_probabilities(lines), Production(votes=votes))
    looks = prediction_looks(votes, 0.001)
    many = np.repeat(chances, 40, axis=0)
    counts, drawn, silent = np.zeros((len(many), 6), dtype=int), np.full(len(many), votes), np.ones(len(many), bool)
    for n, more, level in zip(looks, np.diff((0, *looks)), alpha_spending(looks, 0.001), strict=True):
        counts += rng.multinomial(more, many)
        decided = np.array([each.answer is not None for each in predict_counts(counts, 1, level)]) & silent
        drawn[decided] = n
        silent &= ~decided
    assert abstains == pytest.approx(silent.mean(), abs=0.02)
    assert samples == pytest.approx(drawn.mean(), rel=0.04)
    assert 0 < error < 0.05
