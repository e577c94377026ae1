"""The figures follow from the votes, are legible for every kind of run, and have the same bytes every time."""

import itertools
import json
import subprocess
import sys

import numpy as np
import pytest
from matplotlib import rcParams
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.patches import Rectangle
from matplotlib.text import Text

from factories import make_run
from refusals import refuses
from smoothcert.evidence import open_run
from smoothcert.evidence.events import CHANGED, append_event
from smoothcert.report.figures import (
    class_figure,
    curve_figure,
    figure_data,
    samples_figure,
    units_figure,
    write_figures,
)
from smoothcert.report.figures.style import has_glyphs, line_style, short, spread, width, wrap

NAMES = (
    "红细胞",
    "Лимфоцит",
    "α-globin β",
    "خلية",
    "$x_1$ & $y$",
    "a very long name of a class that goes on and on, with commas, and still more words",
    "Donaudampfschifffahrtsgesellschaftskapitänswitwe",
    "🩸 drop",
    "",
    "tab\tname",
)
CHANGES = {
    "brightness by 1 grey level": 0.19,
    "rounding to 8 bits": 0.0,
    "平移": 4.3,
    "a change whose name does not fit on two lines of this figure at all": 0.3,
}
MANY_SIGMAS = "0.1,0.2,0.25,0.3,0.4,0.5,0.6,0.7,0.8,1.0"
RUNS = {
    "usual": {"images": 240, "k": "1,3", "sigma": "0.25,0.5,1.0", "radius": "0.25,0.5,1.0"},
    "one image": {"images": 1},
    "nothing certified": {"p": 0.3},
    "everything certified": {"p": 1.0, "stopping": "fixed"},
    "fixed": {"stopping": "fixed", "images": 300},
    "partial": {"images": 300, "drop": 220},
    "nothing decided": {"images": 300, "drop": 600},
    "names": {"images": 600, "classes": 10, "data": {"class_names": NAMES}},
    "thousand classes": {"images": 3000, "classes": 1000, "sigma": "0.25"},
    "forty large classes": {"images": 2080, "classes": 40},
    "many sigmas": {"sigma": MANY_SIGMAS, "noise": "float", "images": 100},
    "many radii": {"radius": "0.25,0.5,0.75,1.0,1.25,1.5,1.75,2.0"},
    "nothing attainable": {"radius": "1.5,2.0"},
    "synthetic, in groups": {"data": {"reference": "synthetic:60", "grouped": True}, "noise": "float"},
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Runs by name, made on first use."""
    folder, made = tmp_path_factory.mktemp("runs"), {}

    def get(name):
        if name not in made:
            made[name] = make_run(folder / name, **RUNS[name])
        return made[name]

    return get


def figures(run):
    k = run.spec.request.k[-1]
    return [curve_figure(run, k), class_figure(run, k), samples_figure(run), units_figure(run, CHANGES)]


def drawn_texts(figure, monkeypatch):
    """Every text that reaches the canvas, with its box in pixels."""
    found = {}
    original = Text.draw

    def recording(self, renderer):
        if self.get_visible() and self.get_text().strip():
            found[id(self)] = self
        original(self, renderer)

    figure.set_dpi(300)  # as it is written; hinting makes text wider at few dots
    canvas = FigureCanvasAgg(figure)
    with monkeypatch.context() as patch:
        patch.setattr(Text, "draw", recording)
        canvas.draw()
    return [(text.get_text(), text.get_window_extent(canvas.get_renderer())) for text in found.values()]


def said(figure):
    """All words of a figure, as one line."""
    return " ".join(text.get_text() for text in figure.findobj(Text)).replace("\n", " ").replace("\u00a0", " ")


@pytest.mark.slow
@pytest.mark.parametrize("name", RUNS)
def test_every_text_is_legible_on_the_figure_and_on_no_other_text(runs, name, monkeypatch):
    for figure in figures(runs(name)):
        texts = drawn_texts(figure, monkeypatch)
        smallest = min(text.get_fontsize() for text in figure.findobj(Text) if text.get_text().strip())
        assert smallest * 8 / (2.54 * figure.get_figwidth()) > 5  # points, printed 8 cm wide
        assert len(texts) > 5
        for text, box in texts:
            assert figure.bbox.x0 <= box.x0, text
            assert box.x1 <= figure.bbox.x1, text
            assert figure.bbox.y0 <= box.y0, text
            assert box.y1 <= figure.bbox.y1, text
        for (one, box), (other, there) in itertools.combinations(texts, 2):
            inner = box.padded(-0.5)
            assert not inner.overlaps(there), f"{one!r} lies on {other!r}"


@pytest.mark.slow
def test_the_same_run_gives_the_same_bytes_whatever_the_users_settings(runs, tmp_path, monkeypatch):
    run = runs("usual")
    first = write_figures(run, tmp_path / "a", CHANGES)
    with monkeypatch.context() as patch:
        for name, value in (("axes.grid", True), ("font.family", ["serif"]), ("svg.fonttype", "none")):
            patch.setitem(rcParams, name, value)
        before = dict(rcParams)
        second = write_figures(run, tmp_path / "b" / "deep", CHANGES)
        assert dict(rcParams) == before
    names = ["curve_k1", "curve_k3", "classes_k1", "classes_k3", "samples", "image_units"]
    assert [path.name for path in first] == [f"{n}.{form}" for n in names for form in ("svg", "png")] + [
        "figure_data.json"
    ]
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == sorted(path.name for path in first)
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


def test_a_vector_picture_needs_no_font_and_has_no_date(runs, tmp_path):
    for path in write_figures(runs("names"), tmp_path):
        if path.suffix == ".svg":
            text = path.read_text(encoding="utf-8")
            assert "<text" not in text
            assert "<dc:date>" not in text
            assert len(text) < 400_000


def test_the_record_is_what_the_votes_say(runs, tmp_path):
    run = runs("usual")
    write_figures(run, tmp_path, CHANGES, radius=0.25)
    record = json.loads((tmp_path / "figure_data.json").read_text())
    assert record == json.loads(json.dumps(figure_data(run, CHANGES, 0.25)))
    grid = [mark for each in record["curves"] for mark in each["grid"]]
    entries = sorted(run.results(), key=lambda c: (c.k, c.sigma, c.radius))
    for mark, entry in zip(grid, entries, strict=True):
        assert (mark["radius"], mark["attainable"]) == (entry.radius, entry.attainable)
        if entry.attainable:
            assert (mark["certified"], mark["low"], mark["high"]) == (entry.certified, entry.low, entry.high)
        else:
            assert set(mark) == {"radius", "attainable"}
    assert record["ledger_sha256"] == run.ledger.sha256()
    assert [level["mean"] for level in record["samples"]] == [c.samples_mean for c in entries[::3][:3]]
    assert [level["median"] for level in record["samples"]] == [c.samples_median for c in entries[::3][:3]]
    assert record["image_units"] == CHANGES
    assert [sum(row["certified"] for row in panel["rows"]) for panel in record["classes"]] == [
        c.certified for c in entries if c.radius == 0.25
    ]


@pytest.mark.parametrize("name", ["usual", "fixed", "partial"])
def test_the_figure_draws_what_the_record_says(runs, name):
    run = runs(name)
    axes = curve_figure(run, 1).axes[0]
    curves = [each for each in figure_data(run)["curves"] if each["k"] == 1]
    steps = [line for line in axes.lines if line.get_drawstyle() == "steps-pre"]
    for each, line in zip(curves, steps, strict=True):
        assert line.get_xdata().tolist() == each["line"]["radii"]
        assert line.get_ydata() == pytest.approx(100 * np.array(each["line"]["certified"]) / each["images"])
    filled = [line for line in axes.lines if line.get_markeredgecolor() == "white"]
    points = [(float(line.get_xdata()[0]), float(line.get_ydata()[0])) for line in filled]
    marks = [
        (m["radius"], 100 * m["certified"] / each["images"]) for each in curves for m in each["grid"] if m["attainable"]
    ]
    assert np.array(points) == pytest.approx(np.array(marks))


def test_a_radius_out_of_reach_has_no_marker_and_no_bar(tmp_path):
    run = make_run(tmp_path / "run", radius="0.25,1.0", images=150, classes=3)
    assert [c.attainable for c in run.results()] == [True, False, True, True]
    lines = curve_figure(run, 1).axes[0].lines
    filled = [float(line.get_xdata()[0]) for line in lines if line.get_markeredgecolor() == "white"]
    assert filled == [0.25, 0.25, 1.0]
    figure = class_figure(run, 1, 1.0)
    assert [len(axes.patches) for axes in figure.axes] == [0, 3]
    assert "not attainable (R_max 0.5974)" in said(figure)
    rows = figure_data(run, radius=1.0)["classes"][0]["rows"]
    assert {(row["certified"], row["observed"]) for row in rows} == {(None, None)}


def test_early_stopping_is_stated_and_drawn_thin(runs):
    thin, thick = (curve_figure(runs(name), 1) for name in ("usual", "fixed"))
    assert "Thin lines between them: at least this share" in said(thin)
    assert "at least this share" not in said(thick)
    assert thin.axes[0].lines[-1].get_drawstyle() == "default"
    widths = [
        {line.get_linewidth() for line in figure.axes[0].lines if line.get_drawstyle() == "steps-pre"}
        for figure in (thin, thick)
    ]
    assert max(widths[0]) < min(widths[1])


def test_every_figure_says_what_its_run_is(runs):
    for figure in figures(runs("partial")):
        assert "Partial run: 220 of 600 results are missing. Not sealed." in said(figure)
    for figure in figures(runs("synthetic, in groups")):
        assert "Synthetic images" in said(figure)
    for figure in figures(runs("synthetic, in groups"))[:3]:
        assert "treat them as independent" in said(figure)
        assert "Computer arithmetic: not covered" in said(figure)
    for figure in figures(runs("usual")):
        assert not any(word in said(figure) for word in ("Partial", "Synthetic", "sealed", "arithmetic"))
    assert "in units of the [0, 1] pixel range" in said(curve_figure(runs("usual"), 1))
    assert "in units of the [0, 1] pixel range" in said(class_figure(runs("usual"), 1))


def test_a_partial_run_has_no_intervals(runs):
    figure = curve_figure(runs("partial"), 1)
    assert "interval" not in said(figure)
    assert not any(band.get_alpha() for band in figure.axes[0].collections)
    assert "interval" not in said(class_figure(runs("partial"), 1))


def test_few_images_are_open_bars_with_a_count(tmp_path):
    run = make_run(tmp_path / "run", images=149, classes=3)
    figure = class_figure(run, 1)
    for axes in figure.axes:
        bars = [bar for bar in axes.patches if isinstance(bar, Rectangle)]
        assert [bool(bar.get_hatch()) for bar in bars] == [False, False, True]
        assert to_rgb(bars[-1].get_facecolor()) == to_rgb("white")
        values = [text.get_text() for text in axes.texts]
        assert [("/" in value, "." in value) for value in values] == [(False, True), (False, True), (True, False)]
        assert values[-1].endswith("/49")


@pytest.mark.slow
def test_of_many_classes_the_lowest_are_drawn(runs, tmp_path):
    record = figure_data(runs("forty large classes"))["classes"]
    shares = [sum(panel["rows"][c]["observed"] for panel in record) for c in range(40)]
    shown = record[0]["shown"]
    assert len(shown) == 15
    assert max(shares[c] for c in shown) <= min(shares[c] for c in range(40) if c not in shown)
    assert "The 15 lowest of 40 classes" in said(class_figure(runs("forty large classes"), 1))
    assert "The 15 lowest of 1,000 classes" in said(class_figure(runs("thousand classes"), 1))
    assert "lowest" not in said(class_figure(runs("names"), 1))


def test_a_small_class_is_drawn_after_all_large_ones(tmp_path):
    large = make_run(tmp_path / "run", images=50 * 16 + 49, classes=17)
    assert all(16 not in panel["shown"] for panel in figure_data(large)["classes"])


def test_names_the_font_lacks_are_numbers(runs):
    texts = [text.get_text() for text in class_figure(runs("names"), 1).axes[0].get_yticklabels()]
    assert [texts[c] for c in (0, 1, 2, 3, 4, 7, 8, 9)] == [
        "class 0",
        "Лимфоцит",
        "α-globin β",
        "class 3",
        "$x_1$ & $y$",
        "class 7",
        "class 8",
        "class 9",
    ]
    assert texts[5].startswith("class 5: a very")
    assert texts[6].startswith("class 6:\nDonau")
    assert [texts[c][-1] for c in (5, 6)] == ["…", "…"]
    assert [row["name"] for row in figure_data(runs("names"))["classes"][0]["rows"]] == list(NAMES)


def test_names_fit_their_room():
    rng = np.random.default_rng(0)
    for _ in range(60):
        letters = rng.choice(list("iWm l,éж "), rng.integers(1, 60))
        name = "x" + "".join(letters) + "x"
        lines = short(name, "class 3", 2.0, 6).split("\n")
        assert len(lines) <= 2
        assert max(width(line, 6) for line in lines) <= 2.0
    assert short("two words", "class 3", 2.0, 6) == "two words"
    assert wrap("a b c", 0.0, 6) == ["a", "b", "c"]
    assert [has_glyphs(text) for text in ("é", "​", "漢", " ", "א")] == [True, False, False, False, False]


def test_labels_that_move_apart_keep_order_and_bounds():
    rng = np.random.default_rng(0)
    for _ in range(200):
        places = rng.uniform(0, 100, rng.integers(1, 12)).tolist()
        moved = spread(places, 5, low=2, high=98)
        order = np.argsort(places)
        assert np.all(np.diff(np.array(moved)[order]) >= 5 - 1e-6)
        assert min(moved) >= 2
        assert max(moved) <= 98
    assert spread([10.0, 50.0], 5, low=0, high=100) == [10.0, 50.0]


def test_samples_are_those_of_the_ledger(runs):
    run = runs("usual")
    for level in figure_data(run)["samples"]:
        taken = [line.samples for line in run.ledger.at(level["sigma"])]
        assert sorted(np.repeat(level["values"], level["images"]).tolist()) == sorted(taken)
        assert level["fixed"] == 100 + 1000


def test_a_run_without_selection_has_a_smaller_fixed_number(tmp_path):
    run = make_run(tmp_path / "run", images=5, target="label")
    assert {level["fixed"] for level in figure_data(run)["samples"]} == {1000}


def test_grey_levels_are_the_root_mean_square(runs):
    figure = units_figure(runs("usual"), CHANGES)
    (top,) = figure.axes[0].child_axes
    FigureCanvasAgg(figure).draw()
    ratio = np.array(top.get_xlim()) / np.array(figure.axes[0].get_xlim())
    assert ratio == pytest.approx([255 / (28 * 28 * 3) ** 0.5] * 2)


def test_changes_the_run_recorded_are_drawn(tmp_path):
    run = make_run(tmp_path / "run", images=5)
    names = [path.name for path in write_figures(run, tmp_path / "none")]
    assert "image_units.svg" not in names
    found = {name: {"median": norm, "within": [1, 2, 3]} for name, norm in CHANGES.items()}
    append_event(run.directory.events, CHANGED, images=5, radius=[0.1, 0.25, 0.5], changes=found)
    run = open_run(tmp_path / "run")
    assert figure_data(run)["image_units"] == CHANGES
    assert "image_units.svg" in [path.name for path in write_figures(run, tmp_path / "some")]
    assert "median over the first 5 images" in said(units_figure(run, CHANGES))
    assert "median over the images" in said(units_figure(run, {"another": 1.0}))


def test_the_primary_entry_is_ringed_and_gives_the_radius_of_the_classes(tmp_path):
    primary = {"sigma": "0.5", "radius": 0.25, "k": 2}
    run = make_run(tmp_path / "run", k="1,2", primary=primary)
    rings = [[line for line in curve_figure(run, k).axes[0].lines if line.get_markersize() == 9] for k in (1, 2)]
    assert [len(found) for found in rings] == [0, 1]
    (entry,) = [c for c in run.results() if (c.sigma, c.k, c.radius) == (0.5, 2, 0.25)]
    assert rings[1][0].get_xydata().tolist() == [[0.25, pytest.approx(100 * entry.certified / entry.images)]]
    assert ["Ring" in said(curve_figure(run, k)) for k in (1, 2)] == [False, True]
    assert "radius r = 0.25" in said(class_figure(run, 1))
    assert {panel["radius"] for panel in figure_data(run)["classes"]} == {0.25}


@pytest.mark.parametrize("changes", [{}, {"a": -1.0}, {"a": float("nan")}, {"a": float("inf")}])
def test_changes_without_a_norm_are_refused(runs, changes):
    with refuses("E-INPUT-034", match="L2 norms of 0 or more"):
        units_figure(runs("usual"), changes)


def test_what_the_run_does_not_have_is_refused(runs, tmp_path):
    with refuses("E-SPEC-026"):
        curve_figure(runs("usual"), 2)
    with refuses("E-SPEC-082", match="radius >= 0"):
        write_figures(runs("usual"), tmp_path / "out", radius=-1.0)
    assert not (tmp_path / "out").exists()
    (tmp_path / "file").write_text("")
    with refuses("E-INPUT-035"):
        write_figures(runs("one image"), tmp_path / "file")


def test_without_matplotlib_the_extra_is_named(runs, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.style", None)
    with refuses("E-EXTRA-001", match="extra `report`"):
        curve_figure(runs("usual"), 1)
    assert figure_data(runs("usual"))["curves"]


def test_importing_the_figures_imports_neither_matplotlib_nor_torch():
    code = "import sys, smoothcert.report.figures; print({'matplotlib', 'torch'} & set(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "set()"


def test_noise_levels_differ_in_grey():
    pens = [line_style(i) for i in range(7)]
    assert len({each.marker for each in pens}) == 7
    assert len({each.colour for each in pens[:5]}) == 5
    assert len({(line_style(i).colour, line_style(i).dashes) for i in range(20)}) == 20
    for each in pens:
        red, green, blue = to_rgb(each.colour)
        assert 0.2126 * red + 0.7152 * green + 0.0722 * blue < 0.65
