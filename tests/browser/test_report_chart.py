"""The slider, the chart and their keys, against the evidence."""

import numpy as np
import pytest

from factories import make_run
from smoothcert.evidence.results import entries
from smoothcert.stats.rounding import format_down, format_up

pytestmark = pytest.mark.slow


def readout(page):
    """{sigma: texts of the readout's cells}."""
    rows = page.locator("#readout tr")
    return {row.locator("th").inner_text().strip(): row.locator("td").all_inner_texts() for row in rows.all()}


def printed(entry, of_the_spec, least):
    """The cells of the readout as the evidence has them."""
    limit = format_down(entry.r_max, 4)
    if not entry.attainable:
        return ["–", f"not attainable (R_max {limit})", "–", "–", limit]
    words = "at least " if least else ""
    share = f"{1000 * entry.certified // entry.images / 10:.1f}"
    low, high = format_down(100 * entry.low, 1), None if entry.high is None else format_up(100 * entry.high, 1)
    assert (high is None) == least
    ends = f"at least {low}" if least else f"{low} to {high}"
    population = format_down(100 * entry.population, 1) if of_the_spec else "–"
    return [f"{words}{entry.certified}/{entry.images}", f"{words}{share}", ends, population, limit]


@pytest.mark.parametrize("stopping", ["looks", "fixed"])
def test_the_slider_reads_exact_counts_at_any_radius(visit, tmp_path, stopping):
    run = make_run(tmp_path / "run", images=120, k="1,2", radius="0.1,0.25,0.5", stopping=stopping)
    page = visit(run)
    radii = [0.0, 0.1, 0.25, 0.5, *np.round(np.random.default_rng(2).uniform(0, 1.4, 25), 6).tolist()]
    for i, k in enumerate(run.spec.request.k):
        page.select_option("#curve-k", index=i)
        for r in radii:
            page.fill("#radius-number", f"{r:.6f}")
            of_the_spec = r in run.spec.request.radius
            wanted = [entry for entry in entries(run.spec, run.ledger, (r,)) if entry.k == k]
            least = stopping == "looks" and not of_the_spec
            assert readout(page) == {f"{entry.sigma:g}": printed(entry, of_the_spec, least) for entry in wanted}
            note = page.inner_text("#readout-note")
            assert ("may have been chosen after seeing results" in note) == (not of_the_spec)


def test_arrow_keys_move_the_slider_and_meet_the_radii_of_the_spec(visit, run):
    page = visit(run)
    page.focus("#radius-range")
    page.keyboard.press("Home")
    assert page.inner_text("#readout-caption") == "At any positive radius (r = 0), k = 1"
    step = int(page.get_attribute("#radius-range", "step")) / 1e6
    page.keyboard.press("ArrowRight")
    assert page.inner_text("#readout-caption") == f"At r = {step:g}, k = 1"
    for _ in range(round(0.1 / step) - 1):
        page.keyboard.press("ArrowRight")
    assert page.inner_text("#readout-caption") == "At r = 0.1, k = 1"
    assert page.get_attribute("#radius-range", "aria-valuetext") == "r = 0.1"
    assert page.locator("#jumps [aria-pressed=true]").all_inner_texts() == ["r = 0.1"]
    page.keyboard.press("End")
    beyond = readout(page)
    assert beyond["0.25"][1].startswith("not attainable")
    assert "limit of the sampling budget" in page.inner_text("#readout-note")


def test_a_screen_reader_hears_the_result_after_a_rest(visit, run):
    page = visit(run)
    page.click("#jumps button >> nth=2")
    page.wait_for_timeout(800)
    entry = next(entry for entry in run.results() if (entry.sigma, entry.k, entry.radius) == (0.25, 1, 0.5))
    heard = page.inner_text("#readout-live")
    assert heard.startswith(f"At r = 0.5: sigma 0.25: {entry.certified} of 120 certified")
    assert page.get_attribute("#readout-live", "aria-live") == "polite"


def test_numbers_that_are_no_radius_are_refused_and_change_nothing(visit, run):
    page = visit(run)
    before = page.inner_text("#readout-caption")
    for bad in ("-1", "101", ""):
        page.fill("#radius-number", bad)
        assert page.get_attribute("#radius-number", "aria-invalid") == "true"
        assert page.inner_text("#readout-caption") == before
    page.fill("#radius-number", "99")
    assert {row[0] for row in readout(page).values()} == {"–"}
    assert page.locator("figure:visible .cursor").count() == 0


def test_the_chart_marks_every_cell_and_keys_move_between_them(visit, run):
    page = visit(run)
    points = page.locator("figure:visible .point")
    assert points.count() == sum(entry.attainable for entry in run.results() if entry.k == 1)
    assert [point.get_attribute("tabindex") for point in points.all()].count("0") == 1
    page.locator("figure:visible .point[tabindex='0']").focus()
    place = "document.activeElement.getAttribute('aria-label').split(':')[0]"
    assert page.evaluate(place) == "sigma 0.25, r = 0.1"
    page.keyboard.press("ArrowRight")
    assert page.evaluate(place) == "sigma 0.25, r = 0.25"
    assert page.inner_text("#readout-caption") == "At r = 0.25, k = 1"
    page.keyboard.press("ArrowDown")
    assert page.evaluate(place) == "sigma 0.5, r = 0.25"
    entry = next(entry for entry in run.results() if (entry.sigma, entry.k, entry.radius) == (0.5, 1, 0.25))
    assert f"{entry.certified} of 120 certified" in page.evaluate("document.activeElement.getAttribute('aria-label')")
    for _ in range(5):
        page.keyboard.press("ArrowLeft")
    assert page.evaluate(place) == "sigma 0.5, r = 0.1"


def test_the_pointer_reads_and_a_click_chooses(visit, run):
    page = visit(run)
    box = page.locator("figure:visible svg").bounding_box()
    at = {"x": box["width"] / 2, "y": box["height"] / 2}
    page.hover("figure:visible svg", position=at)
    hovered = page.inner_text("#readout-caption")
    assert hovered.startswith("At r = ")
    page.hover("h1")
    assert page.inner_text("#readout-caption") == "At r = 0.1, k = 1"
    page.click("figure:visible svg", position=at)
    page.hover("h1")
    assert page.inner_text("#readout-caption") == hovered


def test_legend_buttons_hide_a_noise_level(visit, run):
    page = visit(run)
    lines = page.locator("figure:visible .line")
    assert lines.count() == 3
    button = page.locator("#legend button >> nth=1")
    button.press("Space")
    assert (lines.count(), button.get_attribute("aria-pressed")) == (2, "false")
    assert page.locator("figure:visible .point.pen1").count() == 0
    button.press("Enter")
    assert (lines.count(), button.get_attribute("aria-pressed")) == (3, "true")


def test_lines_end_where_evidence_ends(visit, tmp_path):
    for stopping in ("looks", "fixed"):
        page = visit(make_run(tmp_path / stopping, stopping=stopping, sigma="0.25", radius="0.1,0.25,0.5"))
        kinds = [line.get_attribute("class") for line in page.locator("figure:visible .line").all()]
        assert kinds == (["line least pen0"] if stopping == "looks" else ["line pen0"])
        box = "name => {const {x, width} = document.querySelector(`figure ${name}`).getBBox(); return x + width}"
        assert (abs(page.evaluate(box, ".line") - page.evaluate(box, "line.limit")) < 1.5) == (stopping == "fixed")


def test_colours_are_never_the_only_sign(visit, run):
    page = visit(run)
    dashes = [line.get_attribute("stroke-dasharray") for line in page.locator("figure:visible .line").all()]
    shapes = {page.locator(f"figure:visible .point.pen{i}").first.get_attribute("d") for i in range(3)}
    assert len(set(dashes)) == len(shapes) == 3
