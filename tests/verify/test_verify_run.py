"""A run passes; whatever is changed in it is named."""

import json
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import smoothcert.verify.recompute as numbers
from factories import simulate_run
from refusals import refuses
from smoothcert.data import ImageSet
from smoothcert.evidence import RunDirectory
from smoothcert.evidence.outcomes import derived
from smoothcert.stats import Bounds, bounds
from smoothcert.verify import verify
from smoothcert.verify.structure import labels_sha256
from tampering import edit_json, edit_lines, rechain, snapshot


@pytest.fixture(scope="module")
def sealed(tmp_path_factory):
    return simulate_run(tmp_path_factory.mktemp("sealed") / "run", k="1,3")


@pytest.fixture
def run(sealed, tmp_path):
    return shutil.copytree(sealed, tmp_path / "run")


@pytest.mark.parametrize("stopping", ["looks", "fixed"])
@pytest.mark.parametrize("bound", ["rankcp", "simuem", "cohen"])
@pytest.mark.parametrize(("k", "target"), [("1", "auto"), ("1,3,5", "auto"), ("2", "label"), ("1,5", "prediction")])
def test_an_honest_run_passes(tmp_path, stopping, bound, k, target):
    path = simulate_run(tmp_path / "run", bound=bound, stopping=stopping, k=k, target=target, noise="float")
    report = verify(path)
    assert report.faults == ()
    assert report.passed
    assert (report.lines, report.missing, report.sealed) == (16, 0, True)
    ks = [int(word) for word in k.split(",")]
    assert report.decisions == 16 * len(ks) * 2
    lines = RunDirectory(path).read_ledger().lines
    looks = sum(len(line.looks) for line in lines)
    assert report.bounds == looks * sum(1 if bound == "cohen" else 1 + k for k in ks)


def test_two_classes_leave_the_rival_out(tmp_path):
    assert verify(simulate_run(tmp_path / "run", classes=2, noise="grid")).faults == ()


def records(change):
    """A mutation of the ledger's records."""
    return lambda run: edit_lines(run, change)


def forged(mutate):
    """A mutation by someone who can rewrite the event log as well."""

    def both(run):
        mutate(run)
        rechain(run)

    return both


def spec(change):
    return lambda run: edit_json(run / "spec.json", change)


def move_a_vote(lines):
    """One vote moves from a rival to the label at every look: sums and monotonicity hold."""
    for line in lines:
        rivals = [set(votes) - {str(line["label"])} for _, votes in line["looks"]]
        common = set.intersection(*rivals) if rivals else set()
        if common:
            rival, label = min(common), str(line["label"])
            for _, votes in line["looks"]:
                votes[rival] -= 1
                votes[label] += 1
            return
    raise AssertionError("no line with a rival at every look")


def add_a_vote(lines):
    lines[0]["looks"][0][1][str(lines[0]["label"])] += 1


def shrink(lines):
    """The label loses votes between two looks to a class; the sums hold."""
    line = lines[1]
    label, other = str(line["label"]), str((line["label"] + 1) % 6)
    last = line["looks"][-1][1]
    moved = last[label] - 1
    last[label] -= moved
    last[other] = last.get(other, 0) + moved


def swap_labels(lines):
    """Two images at the first noise level exchange their labels; the class counts hold."""
    first, second = lines[0], next(line for line in lines if line["label"] != lines[0]["label"])
    first["label"], second["label"] = second["label"], first["label"]


def event_log(change):
    def mutate(run):
        path = run / "events.jsonl"
        lines = path.read_text().splitlines(keepends=True)
        path.write_text("".join(change(lines)))

    return mutate


def change_event(lines):
    changed = lines[1].replace('"lines": 0', '"lines": 1')
    assert changed != lines[1]
    return [lines[0], changed, *lines[2:]]


def result(change):
    return lambda run: edit_json(run / "results" / "results.json", change)


def text(name, content):
    return lambda run: (run / name).write_text(content)


def cut_line(run):
    path = run / "ledger" / "local-0.jsonl"
    path.write_text(path.read_text().replace('"label"', '"lable"', 3))


COUNT_FIELD = "a count, a label or another field was changed"
LINES = "lines were added or deleted"
MUTATIONS = {
    "one vote moved between classes at all looks": (records(move_a_vote), COUNT_FIELD),
    "a vote more": (records(add_a_vote), r"look 131 has 132 votes, not 131; a count was changed"),
    "a vote more, sealed anew": (forged(records(add_a_vote)), r"look 131 has 132 votes, not 131; a count was"),
    "a selection vote less": (
        forged(records(lambda lines: lines[3]["selection"].update(dict.fromkeys(lines[3]["selection"], 99)))),
        r"image 3: selection has 99 votes, not 100",
    ),
    "selection removed": (
        forged(records(lambda lines: lines[2].update(selection=None))),
        r"image 2: selection votes are missing",
    ),
    "fewer votes later": (forged(records(shrink)), r"image 1: look 1000 has fewer votes of a class than the look bef"),
    "a class that is not in the spec": (
        forged(records(lambda lines: lines[3].update(selection={"6": 100}))),
        r"image 3: selection has votes for a class that is not in the spec",
    ),
    "a deleted line": (records(lambda lines: lines.pop(5)), rf"15 lines, but 16 were sealed; {LINES}"),
    "a deleted line, sealed anew": (
        forged(records(lambda lines: lines.pop(5))),
        r"1 results are missing, the first is sigma 0\.25, image 5",
    ),
    "an added image": (records(lambda lines: lines.append({**lines[0], "index": 8})), rf"17 lines, but 16.*{LINES}"),
    "an added image, sealed anew": (
        forged(records(lambda lines: lines.append({**lines[0], "index": 8}))),
        r"sigma 0\.25, image 8 is not an image of the spec",
    ),
    "another noise level": (
        forged(records(lambda lines: lines.append({**lines[0], "sigma": 0.75}))),
        r"sigma 0\.75, image 0 is not an image of the spec",
    ),
    "a changed label": (
        records(lambda lines: lines[0].update(label=(lines[0]["label"] + 1) % 6)),
        r"at sigma 0\.25 the labels are not those of the spec; a label was changed",
    ),
    "swapped labels of two images": (
        forged(records(swap_labels)),
        r"at sigma 0\.25 the labels are not those of the spec; a label was changed",
    ),
    "a changed group": (records(lambda lines: lines[0].update(group="p1")), COUNT_FIELD),
    "a subgroup that the spec does not name": (
        forged(records(lambda lines: lines[2].update(subgroups={"sex": "F"}))),
        r"image 2: expected the subgroup columns \[\], got \['sex'\]",
    ),
    "a changed image hash": (records(lambda lines: lines[0].update(image="sha256:0")), COUNT_FIELD),
    "another alpha": (
        spec(lambda s: s["request"].update(alpha=0.01)),
        r"not the spec that was locked before the first image; a setting was changed",
    ),
    "another seed": (spec(lambda s: s.update(seed=5)), r"not the spec that was locked"),
    "an edited eta": (spec(lambda s: s["models"][0].update(eta=1e-20)), r"not the spec that was locked"),
    "an edited eta, locked anew": (
        forged(spec(lambda s: s["models"][1].update(eta=1e-20))),
        r"eta \(total variation\) at sigma 0\.5 is 1e-20, not 2\.95e-13",
    ),
    "an eta that is no number": (
        spec(lambda s: s["models"][0].update(eta=float("nan"))),
        r"spec\.json: Expected a spec\.json of format 1: expected finite numbers",
    ),
    "other looks": (
        forged(spec(lambda s: s.update(looks=s["looks"][1:]))),
        r"looks \(197, 296, 444, 666, 1000\) are not those of n_max = 1000, looks",
    ),
    "a look moved": (
        forged(records(lambda lines: lines[1]["looks"][0].__setitem__(0, 130))),
        r"image 1: looks at \[130, 197, .*\] are not those of the spec",
    ),
    "one classifier too few": (
        spec(lambda s: s["models"].pop()),
        r"spec\.json: Expected a spec\.json of format 1: models",
    ),
    "a reordered event log": (
        event_log(lambda lines: [lines[0], lines[2], lines[1], *lines[3:]]),
        r"events\.jsonl: line 2 does not follow the line before it; the log was reordered or changed",
    ),
    "a changed event": (event_log(change_event), r"events\.jsonl: line 3 does not follow the line before it"),
    "a removed first event": (event_log(lambda lines: lines[1:]), r"the first event is not the lock of the spec"),
    "an empty event log": (text("events.jsonl", ""), r"the first event is not the lock of the spec"),
    "a damaged event log": (text("events.jsonl", "[1]\n"), r"Line 1 of .*events\.jsonl is not an event"),
    "a changed number in the results": (
        result(lambda r: r["cells"][1].update(certified=99)),
        r"results\.json .*sigma 0\.25, k 1, r 0\.25\]\.certified",
    ),
    "a changed bound in the results": (
        result(lambda r: r["cells"][-1].update(population=r["cells"][-1]["population"] + 1e-9)),
        r"results\.json .*sigma 0\.5, k 3, r 0\.25\]\.population",
    ),
    "results of another ledger": (
        result(lambda r: r.update(ledger_sha256="0" * 64)),
        r"results\.json does not follow from the votes: ledger_sha256",
    ),
    "an entry removed from the results": (
        result(lambda r: r["cells"].pop()),
        r"results\.json does not follow from the votes: cells",
    ),
    "results that are something else": (
        text("results/results.json", "[]"),
        r"results\.json: expected a record of results",
    ),
    "damaged results": (text("results/results.json", "{"), r"results\.json cannot be read"),
    "a damaged spec": (text("spec.json", "{"), r"spec\.json: Expected a spec\.json of format 1"),
    "a damaged line": (cut_line, r"Line 1 of .*local-0\.jsonl is damaged: .*lable"),
}


@pytest.mark.parametrize("name", MUTATIONS)
def test_each_change_is_named(run, name):
    mutate, message = MUTATIONS[name]
    mutate(run)
    report = verify(run)
    assert not report.passed
    assert any(re.search(message, fault) for fault in report.faults), report.faults


def test_a_plausible_count_is_seen_by_the_seal_alone(run):
    edit_lines(run, move_a_vote)
    (fault,) = verify(run).faults
    assert fault == f"ledger: the lines are not those that were sealed; {COUNT_FIELD}"


def test_faults_are_counted_up_to_twenty(run):
    def every(lines):
        for line in lines:
            line["looks"] = [[n + 1, votes] for n, votes in line["looks"]]

    edit_lines(run, every)
    assert len(verify(run).faults) == 20


def test_derived_results_may_be_missing(run):
    shutil.rmtree(run / "results")
    assert verify(run).passed


def test_a_partial_run_verifies_and_says_so(tmp_path):
    report = verify(simulate_run(tmp_path / "run", drop=3, k="1,3"))
    assert report.passed
    assert (report.lines, report.missing, report.sealed) == (13, 3, False)


def test_a_run_without_any_line_verifies(tmp_path):
    report = verify(simulate_run(tmp_path / "run", drop=16))
    assert (report.passed, report.lines, report.bounds, report.missing) == (True, 0, 0, 16)


def test_where_there_is_no_run(tmp_path):
    with refuses("E-RUN-028"):
        verify(tmp_path)


def test_a_run_without_an_event_log_fails(run):
    (run / "events.jsonl").unlink()
    assert "Expected the event log" in verify(run).faults[0]


def test_nothing_is_written_and_a_read_only_directory_will_do(run):
    folders = [run, *(path for path in run.rglob("*") if path.is_dir())]
    for path in run.rglob("*"):
        path.chmod(0o555 if path.is_dir() else 0o444)
    run.chmod(0o555)
    before = snapshot(run)
    assert verify(run).passed
    assert snapshot(run) == before
    for folder in folders:
        folder.chmod(0o755)


def test_the_canonical_ledger_knows_neither_order_nor_time_and_the_seal_knows_both(run):
    def shuffle(lines):
        lines.reverse()
        for line in lines:
            line.update(seconds=1.0, worker="other")

    before = RunDirectory(run).read_ledger().sha256()
    edit_lines(run, shuffle)
    assert RunDirectory(run).read_ledger().sha256() == before
    (fault,) = verify(run).faults
    assert fault.startswith("ledger/local-0.jsonl is not as sealed")


FILES = ("spec.json", "events.jsonl", "ledger/local-0.jsonl", "results/results.json")


def meaning(run):
    """What a run says: spec, canonical ledger and results as values, and the chained part of the event log."""
    directory = RunDirectory(run)
    events = directory.read_events()
    seal = {name: events[-1].facts.get(name) for name in ("lines", "ledger_sha256")}
    results = json.loads((directory.results / "results.json").read_text())
    chained = (run / "events.jsonl").read_bytes().splitlines()[:-1]
    return directory.read_spec(), directory.read_ledger().sha256(), results, chained, events[-1].event, seal


@settings(max_examples=60)
@given(st.sampled_from(FILES), st.randoms(use_true_random=False), st.integers(0, 255))
def test_a_changed_byte_changes_nothing_or_is_noticed(sealed, tmp_path_factory, name, random, byte):
    run = shutil.copytree(sealed, tmp_path_factory.mktemp("byte") / "run")
    data = bytearray((run / name).read_bytes())
    data[random.randrange(len(data))] = byte
    (run / name).write_bytes(data)
    if verify(run).passed and verify(run).sealed:
        assert meaning(run) == meaning(sealed)


def too_small(*arguments):
    found = bounds(*arguments)
    return Bounds(found.q * (1 - 1e-6), found.u * (1 - 1e-6))


def too_large(*arguments):
    found = bounds(*arguments)
    return Bounds(np.minimum(found.q * (1 + 1e-6), 0.999), np.minimum(found.u * (1 + 1e-6), 0.999))


def zero(*arguments):
    found = bounds(*arguments)
    return Bounds(found.q * 0, found.u * np.nan)


@pytest.mark.parametrize("broken", [too_small, too_large, zero])
@pytest.mark.parametrize("bound", ["rankcp", "simuem", "cohen"])
def test_a_broken_scipy_bound_is_noticed(tmp_path, monkeypatch, bound, broken):
    path = simulate_run(tmp_path / "run", images=3, bound=bound, k="1,3")
    assert verify(path).passed
    monkeypatch.setattr(numbers, "bounds", broken)
    assert any("is not the upper confidence bound of" in fault for fault in verify(path).faults)


def test_a_broken_decision_and_a_broken_minimum_are_noticed(sealed, monkeypatch):
    def without_running_minimum(*arguments):
        found = derived(*arguments)
        for each in found.values():
            object.__setattr__(each.bounds, "q", each.bounds.q * (1 + 1e-12))
        return found

    monkeypatch.setattr(numbers, "derived", without_running_minimum)
    assert any("the running bounds of the two implementations differ" in fault for fault in verify(sealed).faults)

    def generous(*arguments):
        found = derived(*arguments)
        for each in found.values():
            object.__setattr__(each, "wrong", ~each.wrong)
        return found

    monkeypatch.setattr(numbers, "derived", generous)
    assert any("the two implementations disagree on r = " in fault for fault in verify(sealed).faults)


@given(st.lists(st.integers(0, 4), min_size=1, max_size=9))
def test_labels_are_hashed_as_the_images_hash_them(labels):
    images = ImageSet("toy", np.zeros((len(labels), 2, 2, 1), np.uint8), np.array(labels))
    assert labels_sha256(labels) == images.labels_sha256()


def test_verify_needs_no_torch(sealed):
    code = (
        "import sys; from pathlib import Path; from smoothcert.verify import verify; "
        "print(verify(Path(sys.argv[1])).passed, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(sealed)], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "False"]


SUBGROUPS = {"sex": list("FMFMFMFM"), "a\nb": list("00112233")}


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda line: line["subgroups"].pop("sex"), r"image 3: expected the subgroup columns .*, got \['a\\nb'\]"),
        (
            lambda line: line.pop("subgroups"),
            r"image 3: expected the subgroup columns \['a\\nb', 'sex'\], got \[\]",
        ),
        (
            lambda line: line["subgroups"].update(age="70"),
            r"expected the subgroup columns .*, got \['a\\nb', 'age'",
        ),
        (
            lambda line: line["subgroups"].update(sex="F"),
            r"subgroups differ from those of the same image",
        ),
        (lambda line: line["subgroups"].update(sex=1), r"Line 12 .*damaged: .*expected subgroups as texts by column"),
        (lambda line: line["subgroups"].update(sex=None), r"expected subgroups as texts by column"),
        (lambda line: line.update(subgroups=["F"]), r"expected subgroups as texts by column, got \['F'\]"),
        (lambda line: line.update(subgroups=None), r"expected subgroups as texts by column, got None"),
    ],
)
def test_subgroups_have_exactly_the_columns_of_the_spec_and_texts(tmp_path, change, named):
    run = simulate_run(tmp_path / "run", subgroups=SUBGROUPS)
    assert verify(run).faults == ()
    edit_lines(run, lambda lines: change(lines[11]))
    if "texts" not in named:  # else the ledger cannot be read, to seal it anew
        rechain(run)
    faults = verify(run).faults
    assert any(re.search(named, fault) for fault in faults), faults
    assert all(fault.isprintable() for fault in faults)


def test_a_changed_subgroup_breaks_the_seal(tmp_path):
    run = simulate_run(tmp_path / "run", subgroups=SUBGROUPS)
    edit_lines(run, lambda lines: [line["subgroups"].update(sex="X") for line in lines if line["index"] == 3])
    assert any(COUNT_FIELD in fault for fault in verify(run).faults)


def test_results_do_not_depend_on_subgroups(tmp_path):
    with_, without = (
        simulate_run(tmp_path / name, subgroups=of) for name, of in (("with", SUBGROUPS), ("without", {}))
    )
    one, other = (json.loads((path / "results" / "results.json").read_text())["cells"] for path in (with_, without))
    assert one == other
    assert "subgroups" not in (without / "spec.json").read_text()
    assert "subgroups" not in (without / "ledger" / "local-0.jsonl").read_text()
