"""Images that repeat: counted from the ledger's hashes, and kept out of bounds on a population."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from factories import make_line, make_spec
from smoothcert.evidence.ledger import Ledger
from smoothcert.evidence.line_store import image_key, repeated
from smoothcert.evidence.results import entries, repeats, results_record
from smoothcert.verify.table import copied


def a_ledger(images, groups=None):
    lines = [
        replace(make_line(i, 0, {0: 20}, [{0: 1000}]), image=f"sha256:{image:064x}", group=groups and groups[i])
        for i, image in enumerate(images)
    ]
    spec = make_spec([0] * len(images), looks=(1000,), n0=20, stopping="fixed", radius="0.25", grouped=bool(groups))
    return spec, Ledger(tuple(lines))


def across(images, groups):
    """In how many groups beyond the first each image is found, by hand."""
    return sum(len({g for j, g in zip(images, groups, strict=True) if j == i}) - 1 for i in set(images))


@given(st.lists(st.tuples(st.integers(0, 4), st.sampled_from("abc")), min_size=1, max_size=12), st.booleans())
def test_both_counts_are_those_by_hand(pairs, grouped):
    images, groups = [image for image, _ in pairs], [group for _, group in pairs]
    spec, ledger = a_ledger(images, groups if grouped else None)
    wanted = across(images, groups if grouped else range(len(images)))
    assert repeats(spec, ledger.columns) == copied(spec, ledger.columns) == wanted
    (entry,) = entries(spec, ledger)
    assert (entry.population is None) == (entry.joint is None) == bool(wanted)
    assert (entry.withheld is not None) == bool(wanted)


def test_270_of_300_repeats_are_named():
    spec, ledger = a_ledger([i % 30 for i in range(300)])
    (entry,) = entries(spec, ledger)
    assert (entry.certified, entry.population, entry.joint) == (300, None, None)
    assert "270 of 300" in entry.withheld
    record = results_record(spec, ledger)["cells"][0]
    assert (record["population"], record["population_assumes"]) == (None, None)


def test_repeats_inside_one_group_leave_the_bound_of_one_image_per_group():
    spec, ledger = a_ledger([1, 1, 2, 3], ["p", "p", "q", "r"])
    (entry,) = entries(spec, ledger)
    assert entry.population is not None
    assert "groups" in entry.record()["population_assumes"]


def test_the_first_form_of_the_record_is_what_it_was():
    spec, ledger = a_ledger([1, 1, 2])
    old, new = (results_record(spec, ledger, form=form) for form in (1, 2))
    assert "format" not in old
    assert new["format"] == 2
    assert old["cells"][0]["population"] > 0
    assert new["cells"][0]["population"] is None
    assert set(new["cells"][0]) - set(old["cells"][0]) == {"at_least", "withheld", "population_assumes"}


@pytest.mark.parametrize("text", ["", "sha256:zz", "\ud800"])
def test_any_text_stands_for_an_image(text):
    assert repeated(np.array([image_key(text)] * 2, dtype=np.uint64), np.arange(2)) == 1
