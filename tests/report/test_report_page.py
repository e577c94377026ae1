import base64
import hashlib
import json
import re
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from factories import make_run
from refusals import refuses
from report.pages import Reader, unpack
from smoothcert.config import Stated
from smoothcert.errors import printable
from smoothcert.evidence import Run, open_run
from smoothcert.evidence.results import entries
from smoothcert.report.certificates import certificate_columns
from smoothcert.report.claims import DEPLOYMENT, ROWS, one_image
from smoothcert.report.html_report import write_page
from smoothcert.report.html_report.build import SECTIONS, render
from smoothcert.report.html_report.data import script_safe
from smoothcert.report.memo.wording import check_text
from smoothcert.stats import interval
from smoothcert.stats.rounding import round_down, round_up

HOSTILE = (
    "<img src=x onerror=alert(1)>",
    "</script><script>alert(2)</script>",
    "<!--",
    "\"'&amp;",
    "血小板 \u202egnorw",
)
PLACE = {"sigma": 0.5, "radius": 0.25, "k": 1}


def page(run):
    return Reader(render(run))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("page") / "run", k="1,2", primary=PLACE)


@pytest.fixture(scope="module")
def seen(run):
    return page(run)


def test_the_page_is_one_sound_file_that_fetches_nothing(seen):
    assert (seen.open, seen.astray) == ([], [])
    assert not {"link", "img", "iframe", "object", "base"} & {tag for tag, _ in seen.tags}
    for tag, attributes in seen.tags:
        assert not any(name.startswith("on") or name in ("src", "style") for name in attributes), (tag, attributes)
        assert attributes.get("href", "#").startswith("#")
    ids = [attributes["id"] for _, attributes in seen.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    for _, attributes in seen.tags:
        for name in ("for", "aria-labelledby"):
            assert attributes.get(name, ids[0]) in ids
        assert attributes.get("href", "#main")[1:] in ids


def test_only_this_style_and_this_script_may_run(seen):
    policy = next(attributes["content"] for _, attributes in seen.tags if "http-equiv" in attributes)
    for kind in ("style", "script"):
        digest = base64.b64encode(hashlib.sha256(seen.raw[kind].encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    assert len(seen.raw["script"]) < 60_000
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(|fetch\(|XMLHttp", seen.raw["script"]
    )
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)|@import|url\(", seen.raw["script"] + seen.raw["style"])


def test_the_same_run_gives_the_same_bytes(run, tmp_path):
    first = write_page(run, tmp_path).read_bytes()
    assert write_page(open_run(run.directory.path), tmp_path).read_bytes() == first
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def steps_at(curve, radius):
    """(count, low, high) of a curve of the page at a radius of at most six decimals, None above R_max.

    A curve that is "at least" between its markers has no upper ends.
    """
    steps = {name: unpack(column) for name, column in curve["steps"].items()}
    micro = round(radius * 1_000_000)
    if micro > curve["limit"]:
        return None
    place = int(np.searchsorted(steps["radius"], micro))
    return tuple(int(steps[name][place]) if name in steps else None for name in ("count", "low", "high"))


@pytest.mark.parametrize("stopping", ["looks", "fixed"])
def test_counts_at_any_radius_are_those_of_the_evidence(tmp_path, stopping):
    run = make_run(tmp_path / "run", images=80, k="1,2", stopping=stopping)
    curves = page(run).data["curves"]
    drawn = np.random.default_rng(1).uniform(0, 1.6, 60)
    ends = round_down(np.unique(run.certificates(0.5, 1).radius)[5::3])  # where a count changes, and just beyond
    radii = sorted({0.0, 0.1, 0.25, 0.5, *np.round([*drawn, *ends, *(ends + 1e-6)], 6).tolist()})
    table = iter(entries(run.spec, run.ledger, radii))
    for sigma in range(len(run.spec.request.sigma)):
        for k in range(len(run.spec.request.k)):
            for radius in radii:
                entry, found = next(table), steps_at(curves[k][sigma], radius)
                assert (found is not None) == entry.attainable
                if found:
                    low, high = interval(entry.certified, entry.images)
                    tenths = round(10 * round_down(100 * low, 1)), round(10 * round_up(100 * high, 1))
                    assert found == (entry.certified, tenths[0], tenths[1] if stopping == "fixed" else None)


def test_markers_are_the_entries_of_the_spec(run, seen):
    curves, table = seen.data["curves"], run.results()
    for entry in table:
        sigma, k = run.spec.request.sigma.index(entry.sigma), run.spec.request.k.index(entry.k)
        mark = curves[k][sigma]["grid"][run.spec.request.radius.index(entry.radius)]
        assert (mark["count"], mark["attainable"]) == (entry.certified, entry.attainable)
        assert float(mark["population"]) <= 100 * entry.population < float(mark["population"]) + 0.1001
        assert mark["low"] / 10 <= 100 * entry.low
        assert mark["high"] / 10 >= 100 * entry.high


def test_every_image_is_there_with_the_outcome_of_its_certificate(run, seen):
    data = seen.data
    index, label = unpack(data["columns"]["index"]), unpack(data["columns"]["label"])
    assert index.tolist() == list(run.spec.indices)
    for s, sigma in enumerate(run.spec.request.sigma):
        for k, rank in enumerate(run.spec.request.k):
            wanted = certificate_columns(run, sigma, rank)
            columns = {name: unpack(column) for name, column in data["certificates"][k][s].items()}
            names = ("no result", "certified", "abstained", "wrong class")
            assert [names[i] for i in columns["outcome"]] == list(wanted["outcome"])
            assert (columns["radius"] / 1e6).tolist() == pytest.approx(list(wanted["radius"]), abs=1e-12)
            for place, r in enumerate(run.spec.request.radius):
                assert (columns["reached"] > place).tolist() == list(wanted[f"certified_at_{r:g}"])
            assert label.tolist() == list(wanted["label"])


def test_a_certificate_shows_votes_and_bounds(run, seen):
    data, sigma = seen.data, run.spec.request.sigma[1]
    votes = {name: unpack(column) for name, column in data["levels"][1].items()}
    found = run.certificates(sigma, 2)
    columns = {name: unpack(column) for name, column in data["certificates"][1][1].items()}
    slots, classes = data["slots"], run.spec.classes
    for i, line in enumerate(run.ledger.at(sigma)):
        n, last = line.looks[-1]
        pairs = zip(votes["voted"][i * slots :][:slots], votes["votes"][i * slots :][:slots], strict=True)
        shown = {int(c): int(v) for c, v in pairs if c != classes}
        assert shown == {**{c: v for c, v in last.items() if v}, line.label: last.get(line.label, 0)}
        assert int(votes["voted"][i * slots]) == line.label
        assert (int(votes["n"][i]), int(votes["copies"][i])) == (n, line.samples)
        assert columns["least"][i] / 1e6 <= 1 - found.bounds.q[i] < columns["least"][i] / 1e6 + 1.001e-6
        assert (columns["most"][2 * i : 2 * i + 2] / 1e6 >= found.bounds.u[i]).all()
    hashes = unpack(data["columns"]["hash"]).reshape(-1, data["hashBytes"])
    assert hashes[5].tobytes().hex() == run.ledger.at(sigma)[5].image.removeprefix("sha256:")[:16]


def test_many_classes_keep_the_strongest_rivals_and_small_classes_are_counts(tmp_path):
    run = make_run(tmp_path / "run", images=120, classes=100, k="7", radius="0.1")
    data = page(run).data
    assert data["slots"] == 8
    votes = unpack(data["levels"][0]["votes"]).reshape(120, 8)
    assert (np.diff(votes[:, 1:].astype(np.int64), axis=1) <= 0).all()
    (table,) = data["tables"]
    assert {re.sub(r"\d+", "n", text) for texts in table["texts"] for text in texts} == {"n/n"}
    assert sum(table["counts"][0]) == run.results()[0].certified


def test_classes_have_shares_where_images_are_many(tmp_path):
    run = make_run(tmp_path / "run", images=240, radius="0.1,9")
    table, unattainable = page(run).data["tables"]
    assert all(re.fullmatch(r"[\d.]+ % \([\d.]+ to [\d.]+\), \d+/60", text) for text in table["texts"][0])
    assert {text for texts in unattainable["texts"] for text in texts} == {"not attainable"}
    assert unattainable["counts"][0] == [None] * 4


CLOSED = "Votes closed and hashed; unsigned"


def test_status_of_a_sealed_run(seen):
    assert seen.words[seen.words.index("Certified accuracy report") + 2] == CLOSED
    assert not re.search("PARTIAL|NOT SEALED|SYNTHETIC|DAMAGED", seen.text)
    assert seen.raw["title"].endswith(f": {CLOSED}")


@pytest.mark.parametrize("drop", [1, 90, 120])
def test_a_partial_run_says_so_everywhere_and_nothing_about_a_population(tmp_path, drop):
    found = page(make_run(tmp_path / "run", drop=drop, primary=PLACE))
    assert found.raw["title"].endswith("NOT SEALED, PARTIAL")
    assert f"{drop:,} of 120 results are missing" in found.text
    assert "for at least" not in found.text
    assert "No statement about a population is made" in found.text
    whole, part = found.data["curves"][0]
    assert (whole["partial"], part["partial"]) == (drop > 60, True)
    assert {mark["population"] for mark in part["grid"]} == {None}
    missing = [(unpack(each[s]["outcome"]) == 0).sum() for each in found.data["certificates"] for s in range(2)]
    assert sum(missing) == drop
    if drop == 90:
        assert (unpack(found.data["columns"]["label"]) == 4).sum() == 30


def test_synthetic_images_and_uncovered_arithmetic_are_named(tmp_path):
    drawn = page(make_run(tmp_path / "drawn", data={"reference": "synthetic:60"}))
    assert drawn.raw["title"].endswith(f"{CLOSED}, SYNTHETIC IMAGES")
    assert "The images are synthetic" in drawn.text
    plain = page(make_run(tmp_path / "plain", noise="float"))
    assert "ARITHMETIC NOT COVERED" in plain.raw["title"]


def test_changed_evidence_is_not_called_sealed(tmp_path):
    run = make_run(tmp_path / "run")
    path = run.directory.ledger / "local-0.jsonl"
    path.write_text(path.read_text().replace('"label":1', '"label":2', 1))
    found = page(open_run(tmp_path / "run"))
    assert "DAMAGED" in found.raw["title"]
    assert CLOSED not in found.raw["title"]
    assert "were sealed" in found.text or "was changed" in found.text


def test_claims_of_the_primary_entry_have_the_reviewed_words(run, seen):
    assert "Primary result, fixed before the first image: sigma 0.5, k = 1, r = 0.25" in seen.text
    entry = next(entry for entry in run.results() if (entry.sigma, entry.k, entry.radius) == (0.5, 1, 0.25))
    assert f"Of 60 images, {entry.certified} were certified-correct at r = 0.25" in seen.text
    for sentence in (one_image(0.001), DEPLOYMENT):
        assert sentence in seen.text
    assert "smoothed classifier" in seen.text


def test_a_population_is_spoken_of_only_where_it_is_described(run, seen):
    assert "No statement about a population is made: population and independence not stated." in seen.text
    assert "with probability at least 95 %, taken jointly" not in seen.text
    stated = Reader(render(replace(run, stated=Stated(described=True, independent=True)))).text
    assert "from the population that the sponsor describes, then with probability at least 95 %" in stated
    denied = Reader(render(replace(run, stated=Stated(described=True, independent=False)))).text
    assert "the sponsor states that the images are not independent draws" in denied
    assert "Clopper-Pearson" not in denied


def test_nothing_is_a_pass_where_nothing_was_promised(tmp_path, seen):
    assert "No acceptance criterion was fixed before the run" in seen.text
    promised = [{**PLACE, "at_least": 0.2, "of": "observed"}, {**PLACE, "at_least": 0.999}]
    found = page(make_run(tmp_path / "run", criteria=promised))
    assert "No primary result was fixed" in found.text
    assert "No acceptance criterion" not in found.text
    assert [word for word in found.words if word in ("met", "NOT MET")][-2:] == ["met", "NOT MET"]


def test_what_an_older_run_did_not_record_is_stated(seen):
    assert seen.words.count("not recorded") == 4  # sigma x k, without the classifier's accuracy without noise
    assert "not recorded in this run" in seen.text


def test_an_unattainable_entry_is_never_a_percentage(tmp_path):
    found = page(make_run(tmp_path / "run", radius="0.1,5"))
    assert "not attainable (R_max" in found.text
    assert not re.search(r"\b0\.0 %[^.]{0,30}not attainable", found.text)
    assert [mark["attainable"] for mark in found.data["curves"][0][0]["grid"]] == [True, False]


@pytest.mark.parametrize("name", HOSTILE)
def test_names_from_the_data_are_text(tmp_path, name, seen):
    data = {"class_names": (name, "b", "c", "d"), "reference": name, "preprocessing": (name,)}
    found = page(make_run(tmp_path / "run", data=data))
    assert found.data["classNames"][0] == printable(name)
    assert [tag for tag, _ in found.tags].count("script") == 2
    assert not {"img"} & {tag for tag, _ in found.tags}
    assert (found.open, found.astray) == ([], [])
    assert found.raw["script"] == seen.raw["script"]


@settings(max_examples=200)
@given(st.recursive(st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8))
def test_data_cannot_leave_its_script_element(value):
    text = script_safe({"value": value})
    assert not set("<>&\u2028\u2029") & set(text)
    assert json.loads(text) == {"value": value}


def test_half_a_character_does_not_stop_the_page(tmp_path):
    run = make_run(tmp_path / "run")
    data = run.spec.data.model_copy(update={"class_names": ("\ud800", "b", "c", "d"), "reference": "\ud800.npz"})
    broken = Run(run.directory, run.spec.model_copy(update={"data": data}), run.ledger)
    assert r"\ud800.npz" in Reader(write_page(broken, tmp_path).read_text(encoding="utf-8")).text


@pytest.mark.parametrize(
    "asked",
    [
        {"images": 1, "classes": 2},
        {"images": 3, "p": 1.0},
        {"images": 3, "p": 0.1},
        {"k": "2,3"},
        {"target": "label"},
        {"radius": "0.3333333333"},
        {"radius": "90", "sigma": "0.25"},
        {"stopping": "fixed", "bound": "cohen"},
        {"classes": 1000, "images": 1000, "sigma": "0.25", "radius": "0.1"},
        {"data": {"shape": (1, 12, 12)}},
        {"subgroups": {"sex": list("FM") * 30, "<b>": list("FM") * 30}, "drop": 70},
        {"data": {"indices": tuple(range(100, 160))}, "drop": 120},
    ],
    ids=str,
)
def test_runs_of_every_kind_make_a_sound_page(tmp_path, asked):
    found = page(make_run(tmp_path / "run", **asked))
    assert (found.open, found.astray) == ([], [])
    titles = [found.words[i + 1] for i, word in enumerate(found.words) if word in {str(n) for n in range(1, 12)}]
    shown = {title for name, title in SECTIONS if name != "subgroups" or asked.get("subgroups")}
    assert shown <= set(titles) | set(found.words)


def test_groups_are_counted_and_the_largest_come_first(tmp_path):
    run = make_run(tmp_path / "run", images=12)
    spec = run.spec.model_copy(update={"data": run.spec.data.model_copy(update={"grouped": True})})
    assert "the population bound uses one image per group" in page(Run(run.directory, spec, run.ledger)).text


def test_the_words_say_no_more_than_a_certificate_does(run, seen):
    text = seen.text
    for row in ROWS:
        text = text.replace(row[2], "")
    assert list(check_text(text, "report.html")) == []
    promised = page(run).raw["script"]
    assert list(check_text(promised, "script")) == []


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.text(), st.text() | st.integers() | st.lists(st.integers()), max_size=4))
def test_events_of_any_kind_are_described(facts):
    from smoothcert.evidence.events import CHANGED, CLEAN, FINISHED, LEVEL, LOCKED, RESUMED, STARTED, WORKER, Event
    from smoothcert.report.html_report.provenance import event_words

    for name in (CHANGED, CLEAN, FINISHED, LEVEL, LOCKED, RESUMED, STARTED, WORKER, "something new"):
        assert isinstance(event_words(Event(name, "2026-01-02T03:04:05Z", "0" * 64, facts)), str)


def test_workers_that_join_and_leave_are_described():
    from smoothcert.evidence.events import WORKER, Event
    from smoothcert.report.html_report.provenance import event_words

    def told(**facts: object) -> str:
        return event_words(Event(WORKER, "2026-01-02T03:04:05Z", "0" * 64, facts))

    assert told(worker="ray-0", state="joined", node="n", pid=7) == "ray-0 joined"
    lost = "ray-1 lost: the actor died; 3 images are sampled again"
    assert told(worker="ray-1", state="lost", reason="the actor died", images_again=3) == lost


def test_without_jinja_the_extra_is_named(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with refuses("E-EXTRA-001", match="extra `report`"):
        render(run)


def test_of_very_many_images_the_page_has_a_random_subset_and_says_so(run, monkeypatch):
    assert "This table contains" not in page(run).text
    monkeypatch.setattr("smoothcert.report.html_report.images.LISTED", 20)
    found = page(run)
    assert "This table contains a random subset of 20 of the 60 images, drawn without looking at results" in found.text
    index = unpack(found.data["columns"]["index"])
    assert len(set(index.tolist())) == 20
    assert index.tolist() == sorted(index.tolist())
    assert index.tolist() != list(range(20))
    assert found.data["images"] == 60
    for s, sigma in enumerate(run.spec.request.sigma):
        levels = {name: unpack(column) for name, column in found.data["levels"][s].items()}
        lines = {line.index: line for line in run.ledger.at(sigma)}
        assert levels["copies"].tolist() == [lines[i].samples for i in index.tolist()]
        for k, rank in enumerate(run.spec.request.k):
            whole = certificate_columns(run, sigma, rank)
            radius = unpack(found.data["certificates"][k][s]["radius"]) / 1e6
            assert radius.tolist() == pytest.approx([whole["radius"][i] for i in index], abs=1e-12)
    monkeypatch.setattr("smoothcert.report.html_report.images.ROWS", 40)
    assert len(unpack(page(run).data["columns"]["index"])) == 40 // (2 * 2)
    assert found.data["curves"] == page(run).data["curves"]
    assert found.data["tables"] == page(run).data["tables"]


@pytest.mark.parametrize("stopping", ["looks", "fixed"])
def test_a_curve_of_very_many_steps_is_cut_to_counts_that_are_at_least(tmp_path, monkeypatch, stopping):
    run = make_run(tmp_path / "run", images=80, k="1,2", stopping=stopping)
    whole = page(run).data["curves"]
    assert not any("thinned" in curve for curves in whole for curve in curves)
    monkeypatch.setattr("smoothcert.report.html_report.data.STEPS", 9)
    cut = page(run).data["curves"]
    thinned = [curve for curves in cut for curve in curves if curve.get("thinned")]
    assert thinned
    assert all(len(unpack(curve["steps"]["radius"])) < 9 + 4 for curve in thinned)
    for k, curves in enumerate(cut):
        for s, curve in enumerate(curves):
            assert curve["grid"] == whole[k][s]["grid"]
            for radius in np.round(np.linspace(0, curve["limit"] / 1e6, 97)[:-1], 6).tolist():
                (least, low, high), exact = steps_at(curve, radius), steps_at(whole[k][s], radius)
                assert least <= exact[0]
                assert low <= exact[1]
                assert (high is None) == (exact[2] is None) == (stopping == "looks")
                assert high is None or exact[1] <= exact[2] <= high
            for r in run.spec.request.radius:
                if r * 1e6 <= curve["limit"]:
                    assert steps_at(curve, r)[0] == steps_at(whole[k][s], r)[0]
