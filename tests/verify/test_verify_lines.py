"""What one line shows on its own; and that it does not matter in which blocks lines are checked."""

import re
from dataclasses import replace

import pytest

from factories import make_line, make_spec, simulate_run
from smoothcert.verify import line_faults, verify
from tampering import edit_lines, rechain

SPEC = make_spec(sigma="0.25,0.5")
GOOD = make_line(1, 1, {1: 90, 2: 10}, [{1: 95, 0: 5}, {1: 190, 0: 10}])


@pytest.mark.parametrize(
    "line",
    [
        GOOD,
        replace(GOOD, looks=GOOD.looks[:1]),
        replace(GOOD, looks=()),
        replace(GOOD, sigma=0.5),
        replace(GOOD, worker="", at="never", seconds=-1.0),
    ],
)
def test_a_line_that_can_be_has_no_fault(line):
    assert list(line_faults(SPEC, line)) == []


BAD = {
    "another image": (replace(GOOD, index=5), "sigma 0.25, image 5 is not an image of the spec"),
    "another sigma": (replace(GOOD, sigma=0.75), "sigma 0.75, image 1 is not an image of the spec"),
    "a look of another number": (replace(GOOD, looks=((101, {1: 101}),)), "looks at [101] are not those of the spec"),
    "a look left out": (replace(GOOD, looks=GOOD.looks[1:]), "looks at [200] are not those of the spec"),
    "a look too many": (
        replace(GOOD, looks=(*GOOD.looks, (400, {1: 400}))),
        "looks at [100, 200, 400] are not those of the spec",
    ),
    "votes too many": (replace(GOOD, looks=((100, {1: 101}),)), "look 100 has 101 votes, not 100"),
    "votes lost": (
        replace(GOOD, looks=((100, {1: 100}), (200, {1: 99, 0: 101}))),
        "look 200 has fewer votes of a class",
    ),
    "a class too many": (
        replace(GOOD, looks=((100, {4: 100}),)),
        "look 100 has votes for a class",
    ),
    "no selection": (replace(GOOD, selection=None), "selection votes are missing"),
    "selection too small": (replace(GOOD, selection={1: 99}), "selection has 99 votes, not 100"),
    "a label that is no class": (replace(GOOD, label=4), "label 4 is not a class"),
    "a column too many": (replace(GOOD, subgroups={"sex": "F"}), "expected the subgroup columns [], got ['sex']"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_line_that_cannot_be_is_named(name):
    line, reason = BAD[name]
    found = list(line_faults(SPEC, line))
    assert any(reason in fault for fault in found), found
    assert all(fault.startswith("ledger: sigma ") for fault in found)


def test_images_with_indices_of_their_own():
    data = SPEC.data.model_copy(update={"indices": (40, 7, 9, 1, 3)})
    spec = SPEC.model_copy(update={"data": data})
    assert list(line_faults(spec, replace(GOOD, index=40))) == []
    assert list(line_faults(spec, replace(GOOD, index=0)))


@pytest.mark.parametrize("block", [1, 3, 1000])
def test_blocks_do_not_matter(tmp_path, monkeypatch, block):
    monkeypatch.setattr("smoothcert.evidence.line_store.BLOCK", block)
    run = simulate_run(tmp_path / "run", k="1,3")
    honest = verify(run)
    assert (honest.faults, honest.lines, honest.decisions) == ((), 16, 16 * 2 * 2)
    edit_lines(run, lambda lines: lines[13]["looks"][0][1].update({"0": 10**6}))
    rechain(run)
    faults = verify(run).faults
    assert any(re.search(r"sigma 0\.5, image 5: look \d+ has \d+ votes, not", fault) for fault in faults), faults


def test_a_run_of_many_bad_lines_ends_early(tmp_path, monkeypatch):
    """After twenty faults no further block is read."""
    monkeypatch.setattr("smoothcert.evidence.line_store.BLOCK", 5)
    run = simulate_run(tmp_path / "run", images=60)
    edit_lines(run, lambda lines: [line.update(label=9) for line in lines])
    rechain(run)
    seen = []
    monkeypatch.setattr(
        "smoothcert.verify.recompute.line_faults", lambda spec, line, _: seen.append(line.key) or ["a fault"]
    )
    assert len(verify(run).faults) == 20
    assert len({key for key in seen if key[0] == 0.25}) == 20
