"""Classes and images: sorted, filtered, turned over, opened."""

import time

import numpy as np
import pytest

from browser.large import large
from factories import make_run
from smoothcert.report.certificates import certificate_columns
from smoothcert.report.groups import class_rows

pytestmark = pytest.mark.slow


def column(page, table, number):
    """Texts of one column of a table's body."""
    return page.locator(f"#{table}-body tr > :nth-child({number + 1})").all_inner_texts()


def head(page, table, key):
    return page.locator(f"#{table}-head [data-key={key}]")


def state(page, table, key):
    return head(page, table, key).locator("xpath=..").get_attribute("aria-sort")


def certificates(run, sigma=0.25, k=1):
    wanted = certificate_columns(run, sigma, k)
    return [dict(zip(wanted, row, strict=True)) for row in zip(*wanted.values(), strict=True)]


def test_classes_sort_by_any_column(visit, tmp_path):
    names = ("zebra", "Äpfel", "b10", "b9")
    run = make_run(tmp_path / "run", images=240, radius="0.1,0.25", data={"class_names": names})
    page = visit(run)
    assert column(page, "classes", 0) == list(names)
    head(page, "classes", "name").click()
    assert column(page, "classes", 0) == ["Äpfel", "b9", "b10", "zebra"]
    assert (state(page, "classes", "name"), state(page, "classes", "number")) == ("ascending", "none")
    page.select_option("#classes-r", index=1)
    head(page, "classes", "sigma1").press("Enter")
    rows = class_rows(run, 0.5, 1, 0.25)
    assert column(page, "classes", 0) == [row.name for row in sorted(rows, key=lambda row: row.certified / row.images)]
    head(page, "classes", "sigma1").press("Enter")
    assert state(page, "classes", "sigma1") == "descending"
    assert page.evaluate("document.activeElement.dataset.key") == "sigma1"
    assert page.inner_text("#classes-caption") == "Certified accuracy by class at r = 0.25, k = 1"
    lowest = min(rows, key=lambda row: row.certified / row.images)
    assert f"{lowest.certified}/{lowest.images}" in column(page, "classes", 4)[-1]


def test_images_sort_by_any_column(visit, run):
    page = visit(run)
    page.select_option("#images-rows", value="500")
    rows, names = certificates(run), run.spec.data.class_names
    orders = {
        "radius": (4, lambda row: row["radius"], lambda row: f"{row['radius']:.6f}" if row["radius"] else "–"),
        "copies": (6, lambda row: row["samples"], lambda row: f"{row['samples']:,}"),
        "label": (1, lambda row: row["label"], lambda row: names[row["label"]]),
        "index": (0, lambda row: row["index"], lambda row: str(row["index"])),
    }
    for key, (number, value, shown) in orders.items():
        head(page, "images", key).click()
        assert column(page, "images", number) == [shown(row) for row in sorted(rows, key=value)], key
        head(page, "images", key).click()
        assert column(page, "images", number) == [shown(row) for row in sorted(rows, key=value, reverse=True)], key
        assert state(page, "images", key) == "descending"


@pytest.mark.parametrize(
    ("show", "wanted"),
    [
        ("all", lambda row: True),
        ("kept1", lambda row: row["certified_at_0.06"]),
        ("lost1", lambda row: not row["certified_at_0.06"]),
        ("abstained", lambda row: row["outcome"] == "abstained"),
        ("wrong", lambda row: row["outcome"] == "wrong class"),
    ],
)
def test_images_are_filtered(visit, tmp_path, show, wanted):
    run = make_run(tmp_path / "run", images=200, p=0.48, radius="0.02,0.06")
    page = visit(run)
    page.select_option("#images-rows", value="500")
    page.select_option("#images-show", value=show)
    kept = [row for row in certificates(run) if wanted(row)]
    assert kept
    assert column(page, "images", 0) == [str(row["index"]) for row in kept]
    page.select_option("#images-class", index=3)
    assert column(page, "images", 0) == [str(row["index"]) for row in kept if row["label"] == 2]


def test_smallest_radius_first_and_search_by_index(visit, run):
    page = visit(run)
    page.select_option("#images-show", value="smallest")
    radii = [row["radius"] for row in certificates(run) if row["outcome"] == "certified"]
    assert column(page, "images", 4) == [f"{radius:.6f}" for radius in sorted(radii)[:25]]
    page.select_option("#images-show", value="all")
    head(page, "images", "index").click()
    page.fill("#images-index", "17, 40-42")
    assert column(page, "images", 0) == ["17", "40", "41", "42"]
    page.fill("#images-index", "x")
    assert page.get_attribute("#images-index", "aria-invalid") == "true"
    assert page.inner_text("#images-count").startswith("Rows 1 to 25 of 120")
    page.fill("#images-index", "9999")
    assert page.inner_text("#images-count") == "None of 120 images."


def test_pages_are_turned(visit, run):
    page = visit(run)
    assert page.inner_text("#images-count") == "Rows 1 to 25 of 120, from 120 images."
    assert page.is_disabled("#images-before")
    page.click("#images-after")
    assert column(page, "images", 0)[0] == "25"
    page.click("#images-last")
    assert page.inner_text("#images-count").startswith("Rows 101 to 120")
    assert page.is_disabled("#images-after")
    page.click("#images-first")
    assert column(page, "images", 0)[0] == "0"


def test_a_rank_without_selection_shows_none(visit, run):
    page = visit(run)
    assert head(page, "images", "selected").count() == 1
    page.select_option("#images-k", index=1)
    page.locator("#images-caption", has_text="k = 2").wait_for()
    assert head(page, "images", "selected").count() == 0
    page.select_option("#images-rows", value="500")
    assert "wrong class" not in column(page, "images", 2)


def test_radii_out_of_reach_cannot_be_asked_for(visit, tmp_path):
    page = visit(make_run(tmp_path / "run", radius="0.1,0.8"))
    assert page.is_disabled("#images-show option[value=kept1]")
    page.select_option("#images-sigma", index=1)
    page.locator("#images-caption", has_text="0.5").wait_for()
    assert page.is_enabled("#images-show option[value=kept1]")


def test_a_certificate_opens_from_row_or_key_and_gives_the_focus_back(visit, run):
    page = visit(run)
    page.locator("#images-body button").nth(4).press("Enter")
    page.wait_for_selector("dialog[open]")
    assert page.inner_text("#certificate-title") == "Image 4, sigma 0.25, k = 1"
    line, row = run.ledger.at(0.25)[4], certificates(run)[4]
    text = page.inner_text("dialog")
    n, votes = line.looks[-1]
    assert f"{n:,} samples, look" in text
    for c, count in votes.items():
        assert (
            page.locator("dialog tr", has_text=run.spec.data.class_names[c]).filter(has_text=f"{count:,}").count() >= 1
        )
    assert f"{row['radius']:.6f}" in text
    assert "Wrong with probability at most 0.001" in text
    assert line.image.removeprefix("sha256:")[:16] in text
    found = run.certificates(0.25, 1)
    assert f"at most {np.ceil(found.bounds.u[4, 0] * 1e6) / 1e6:.6f}" in text
    assert f"at least {np.floor((1 - found.bounds.q[4]) * 1e6) / 1e6:.6f}" in text
    page.locator("dialog button", has_text="sigma 0.5").click()
    page.locator("#certificate-title", has_text="sigma 0.5").wait_for()
    page.keyboard.press("Escape")
    assert page.locator("dialog[open]").count() == 0
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == "image 4: votes and bounds"
    page.locator("#images-body td").nth(3).click()
    page.wait_for_selector("dialog[open]")


def test_every_outcome_has_its_sentence(visit, tmp_path):
    run = make_run(tmp_path / "run", images=200, p=0.42, drop=1, sigma="0.25")
    page = visit(run)
    page.select_option("#images-rows", value="500")
    words = {
        "certified": "Certified: ",
        "abstained": "Abstained: ",
        "wrong class": "Wrong class: ",
        "no result": "No result",
    }
    outcomes = column(page, "images", 3)
    assert set(outcomes) == set(words)
    for outcome, begins in words.items():
        page.locator("#images-body button").nth(outcomes.index(outcome)).click()
        page.wait_for_selector("dialog[open]")
        assert page.inner_text("dialog .statement").startswith(begins)
        assert "NOT SEALED" in page.inner_text("dialog")
        page.keyboard.press("Escape")


def test_100_000_images_stay_usable(visit, tmp_path):
    run = large(tmp_path / "run", 100_000)
    begun = time.monotonic()
    page = visit(run)
    opened = time.monotonic() - begun
    size = (tmp_path / "report.html").stat().st_size
    press = "key => {const at = performance.now(); document.querySelector(`#images-head [data-key=${key}]`).click();"
    took = {
        key: page.evaluate(f"{press} return performance.now() - at}}", key) for key in ("radius", "label", "copies")
    }
    print(f"{size / 1e6:.1f} MB, written and opened in {opened:.1f} s, sorted in {took} ms")
    assert size < 5e6
    assert max(took.values()) < 1000
    page.select_option("#images-show", value="lost0")
    lost = 100_000 - run.results()[0].certified
    assert page.inner_text("#images-count") == f"Rows 1 to 25 of {lost:,}, from 100,000 images."
    assert page.locator("#images-body tr").count() == 25
