"""For everyone and everywhere: keyboard, screen reader, contrast, phone, paper, no script, hostile names."""

import itertools
import re
import shutil
import subprocess

import pytest

from browser.conftest import NARROW, PRIMARY
from factories import make_run
from smoothcert.report.html_report import write_page
from smoothcert.report.html_report.build import SECTIONS

pytestmark = pytest.mark.slow

TITLES = {name: title for name, title in SECTIONS if name != "subgroups"}
"""Sections of a run without subgroups."""
HOSTILE = "<img src=x onerror=alert(1)>"

CONTRAST = """() => {
  const shade = ([r, g, b]) => {
    const part = (v) => ((v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
  };
  const numbers = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const ground = (node) => {
    for (; node; node = node.parentElement) {
      const colour = numbers(getComputedStyle(node).backgroundColor);
      if (colour.length === 3 || colour[3] === 1) return colour;
    }
    return [255, 255, 255];
  };
  const low = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode.parentElement;
    const text = walker.currentNode.data.trim();
    if (!text || !node.checkVisibility() || node.closest("script, option, :disabled")) continue;
    const style = getComputedStyle(node);
    const ink = numbers(node instanceof SVGElement ? style.fill : style.color);
    const [a, b] = [shade(ink), shade(ground(node))].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < 4.5) low.push([node.className.baseVal ?? node.className, text.slice(0, 30), ratio]);
  }
  return low;
}"""

PENS = """() => {
  const shade = (colour) => {
    const [r, g, b] = colour.match(/[\\d.]+/g).map(Number).map((v) => v / 255)
      .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const paper = shade(getComputedStyle(document.body).backgroundColor);
  return [...document.querySelectorAll("figure:not([hidden]) .line")].map((line) => {
    const [a, b] = [shade(getComputedStyle(line).stroke), paper].sort((x, y) => y - x);
    return (a + 0.05) / (b + 0.05);
  });
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_and_lines_stand_out(visit, tmp_path, scheme):
    run = make_run(tmp_path / "run", drop=1, sigma="0.25,0.5,1.0", noise="float", data={"reference": "synthetic:60"})
    page = visit(run, color_scheme=scheme)
    assert page.evaluate(CONTRAST) == []
    assert min(page.evaluate(PENS)) >= 3
    page.locator("#images-body button").first.click()
    page.wait_for_selector("dialog[open]")
    assert page.evaluate(CONTRAST) == []
    if scheme == "dark":
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(18, 23, 29)"
        page.emulate_media(media="print")
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"


def test_landmarks_headings_labels_and_captions(visit, run):
    page = visit(run)
    for role in ("banner", "navigation", "main"):
        assert page.get_by_role(role).count() == 1
    levels = page.locator("main :is(h1, h2, h3)").evaluate_all("all => all.map(h => Number(h.tagName[1]))")
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    for number, title in enumerate(TITLES.values(), 1):
        assert page.get_by_role("region", name=f"{number} {title}", exact=True).count() == 1
    unnamed = "all => all.filter(node => !node.labels?.length && !node.ariaLabel).map(node => node.id)"
    assert page.locator("input, select").evaluate_all(unnamed) == []
    assert page.locator("button").evaluate_all("all => all.filter(node => !node.textContent.trim())") == []
    assert page.locator("table").evaluate_all("all => all.filter(t => !t.caption?.textContent.trim()).length") == 0
    assert page.locator("main table th:not([scope])").count() == 0
    assert page.evaluate("document.documentElement.lang") == "en"


def test_the_tab_key_reaches_everything_in_order_with_a_visible_focus(visit, run):
    page = visit(run)
    order, styles = [], set()
    for _ in range(120):
        page.keyboard.press("Tab")
        found = page.evaluate(
            "(() => {const e = document.activeElement; return [e.id || e.getAttribute('class') || e.tagName, "
            "e.getBoundingClientRect().top + scrollY, e.closest('main') !== null]})()"
        )
        if found[0] == "BODY":
            break
        order.append(found)
        ring = "(() => {const s = getComputedStyle(document.activeElement); return s.outlineStyle + s.strokeWidth})()"
        styles.add(page.evaluate(ring))
    names = [name for name, _, _ in order]
    assert names[0] == "skip"
    wanted = ["curve-k", "radius-range", "radius-number", "classes-k", "classes-r", "images-sigma", "images-show"]
    assert [name for name in names if name in wanted] == wanted
    assert any("point" in str(name) for name in names)
    assert all(style.startswith("solid") or style == "none3px" for style in styles), styles


def test_the_skip_link_and_the_contents_lead_where_they_say(visit, run):
    page = visit(run)
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    page.get_by_role("navigation").get_by_text("Acceptance criteria").click()
    page.wait_for_timeout(900)
    top, bar = page.evaluate(
        "[document.getElementById('criteria-title').getBoundingClientRect().top, "
        "document.querySelector('.bar').getBoundingClientRect().bottom]"
    )
    assert bar <= top < 300


@pytest.mark.parametrize("viewport", [{"width": 1400, "height": 900}, NARROW, {"width": 320, "height": 640}])
def test_nothing_sticks_out_and_the_status_stays_in_sight(visit, tmp_path, viewport):
    name = "averylongclassnamewithoutanyspace" * 3
    run = make_run(tmp_path / "run", drop=1, sigma="0.25,0.5,1.0", data={"class_names": (name, "b", "c", "d")})
    page = visit(run, viewport=viewport)
    assert page.evaluate("document.documentElement.scrollWidth") == viewport["width"]
    for place in ("#curve", "#images", "#provenance"):
        page.locator(place).scroll_into_view_if_needed()
        assert page.locator(".bar .mark.bad").first.is_visible()
        assert page.locator(".bar").bounding_box()["y"] == 0
    cut = "all => all.filter(e => e.getBoundingClientRect().right > innerWidth + 1).map(e => e.textContent)"
    assert page.locator(".words td, .words th[scope=row], dd, p").evaluate_all(cut) == []
    page.locator("#images-body button").first.click()
    page.wait_for_selector("dialog[open]")
    box = page.locator("dialog").bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= viewport["width"]


def test_paper_has_all_sections_no_controls_and_the_status_on_every_sheet(visit, tmp_path):
    apart = {"sex": ["F", "M", "F"] * 40, "scanner": ["A"] * 100 + ["B"] * 20}
    run = make_run(
        tmp_path / "run", images=120, drop=1, k="1,2", sigma="0.25,0.5,1.0", primary=PRIMARY, subgroups=apart
    )
    page = visit(run)
    page.emulate_media(media="print")
    for name, _ in SECTIONS:
        assert page.locator(f"#{name}-title").is_visible()
    assert page.locator("figure:visible").count() == 2
    for gone in ("nav", "select", "input", "#jumps button", ".buttons button"):
        assert page.locator(f"{gone}:visible").count() == 0, gone
    file = tmp_path / "report.pdf"
    page.pdf(path=file, prefer_css_page_size=True)
    if shutil.which("pdftotext") is None:
        pytest.skip("the sheets themselves need pdftotext (apt-get install poppler-utils)")
    text = subprocess.run(["pdftotext", "-layout", file, "-"], capture_output=True, text=True, check=True).stdout
    sheets = text.removesuffix("\f").split("\f")
    assert len(sheets) > 3
    for number, sheet in enumerate(sheets, 1):
        assert "NOT SEALED" in sheet.lstrip("\n").splitlines()[0], number
        assert re.search(rf"{number} ?/ ?{len(sheets)}\s*$", sheet.rstrip()), number
    flat = " ".join(text.split())
    assert all(title in flat for _, title in SECTIONS)


def test_names_from_the_data_stay_text(visit, tmp_path):
    data = {"class_names": (HOSTILE, "</script><script>alert(2)</script>", "'\"&amp;", "血小板 \u202egnorw")}
    run = make_run(tmp_path / "run", data={**data, "reference": HOSTILE, "preprocessing": (HOSTILE,)})
    page = visit(run)
    page.locator("#images-body tr").first.click()
    page.wait_for_selector("dialog[open]")
    page.wait_for_timeout(200)
    assert page.locator("img").count() == 0
    assert HOSTILE in page.inner_text("#classes-body")
    assert HOSTILE in page.inner_text("dialog")
    assert "血小板" in page.inner_text("#classes-body")


def test_markup_that_got_in_would_still_not_run(chromium, run, tmp_path):
    page, messages = chromium.new_page(), []
    page.on("console", lambda message: messages.append(message.text))
    page.goto(write_page(run, tmp_path).as_uri())
    page.evaluate("""() => document.body.insertAdjacentHTML("beforeend", '<a id="in" onclick="alert(1)">x</a>')""")
    page.dispatch_event("#in", "click")
    page.wait_for_timeout(200)
    page.close()
    assert [text for text in messages if "Content Security Policy" in text]


def test_without_script_the_tables_of_results_remain(visit, run):
    page = visit(run, java_script_enabled=False)
    text = page.inner_text("main")
    assert all(title in text for title in TITLES.values())
    assert page.locator("#results tbody tr").count() == run.spec.cells
    assert "need JavaScript" in text
    assert page.locator("select:visible, input:visible").count() == 0


@pytest.mark.parametrize(
    "asked",
    [
        {"images": 1, "classes": 2},
        {"images": 3, "p": 1.0},
        {"images": 3, "p": 0.1},
        {"k": "2,3"},
        {"drop": 120},
        {"subgroups": {"sex": ["F", "M"] * 30, "site": [f"site {i}" for i in range(60)]}},
        {"radius": "0.3333333333"},
        {"radius": "90", "sigma": "0.25"},
        {"sigma": "0.25", "radius": "0.1", "stopping": "fixed"},
        {"classes": 1000, "images": 1000, "sigma": "0.25", "radius": "0.1"},
    ],
    ids=str,
)
def test_runs_of_every_kind_open_without_complaint(visit, tmp_path, asked):
    page = visit(make_run(tmp_path / "run", **asked))
    assert page.locator("#readout tr").count() == page.locator("#legend button").count() > 0
    assert page.locator("#images-body tr").count() == min(25, asked.get("images", 60))
    page.locator("#images-body tr").first.click()
    page.wait_for_selector("dialog[open]")
