import ast
import contextlib
import getpass
import html
import json
import os
import re
import shutil
import socket
import sys
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

from factories import draw_hard_line, make_spec, with_subgroups, write_run
from networks import small_request as tiny_request
from networks import write_denoiser, write_factory, write_random_images, write_resnet
from refusals import refuses
from smoothcert.errors import EvidenceError
from smoothcert.evidence import open_run
from smoothcert.evidence.events import LOCKED, REPORTED, append_event
from smoothcert.report import Table
from smoothcert.report.notebook import build, say, table, write_notebook
from smoothcert.report.notebook.explore import moves
from smoothcert.report.notebook.facts import event_table, file_name, line_table, spec_table, votes_in_words, warnings
from smoothcert.stats import Plan, certify_counts, schedule

SCRIPT = (files("smoothcert.report.notebook") / "certification.py").read_text(encoding="utf-8")
NASTY = "<b>bold</b> | $x$ & `y`"


def notebook_run(path, images=8, classes=6, drop=0, share=0.6, facts=None, subgroups=None, built_in=False, **settings):
    """Write a run with class names that need escaping; `share`: see `draw_hard_line`; `built_in`: the classifier."""
    rng = np.random.default_rng(1)
    labels = rng.integers(0, min(classes, 10), images).tolist()
    settings = {"stopping": "looks", "n_max": 1000, "sigma": "0.25,0.5", "radius": "0.1,0.25", **settings}
    spec = make_spec(labels, min(classes, 10), schedule(settings["n_max"], settings["stopping"]), **settings)
    names = tuple(f"{NASTY} {c}" for c in range(classes))
    counts = spec.data.class_counts + (0,) * (classes - len(spec.data.class_counts))
    changed = {"class_names": names, "class_counts": counts, "subgroups": tuple(subgroups or ()), **(facts or {})}
    arch = {"arch": "resnet8"} if built_in else {}
    models = tuple(model.model_copy(update=arch) for model in spec.models)
    spec = spec.model_copy(update={"data": spec.data.model_copy(update=changed), "models": models})
    lines = [
        draw_hard_line(rng, spec, sigma, i, label, share)
        for sigma in spec.request.sigma
        for i, label in enumerate(labels)
    ]
    lines = with_subgroups(lines, subgroups or {})[: len(lines) - drop]
    write_run(path, spec, lines, sealed=not drop)
    return path


@pytest.fixture
def shown(monkeypatch):
    """Outputs of cells: (HTML, plain text) pairs, and figures."""
    seen = []
    monkeypatch.setattr("IPython.display.display", lambda what, raw=False: seen.append(what))
    return seen


def execute(path, shown, live="False", **changed):
    """Execute the script's cells here, as the kernel does in the run's results; return everything it says."""
    pytest.importorskip("jupytext")
    (path / "results").mkdir(exist_ok=True)
    notebook = build.read_script(open_run(path), path / "results", live=True)
    scope = {}
    with contextlib.chdir(path / "results"):
        for entry in notebook.cells:
            source = entry.source.replace('LIVE = "auto"', f"LIVE = {live}")
            for name, value in changed.items():
                source = re.sub(rf"^{name} = .*", f"{name} = {value}", source, flags=re.M)
            if entry.cell_type == "code":
                exec(compile(source, "cell", "exec"), scope)
    return "\n".join(html.unescape(each["text/html"]) for each in shown if isinstance(each, dict))


# what needs no kernel


def test_script_is_python_and_starts_with_the_words_a_reader_needs():
    ast.parse(SCRIPT)
    head, *entries = re.split(r"^# %%", SCRIPT, flags=re.M)
    assert ast.get_docstring(ast.parse(head))
    assert len(entries) > 30
    for word in ("noise sample", "vote", "certificate", "abstention"):
        assert f"| {word} |" in SCRIPT


@pytest.mark.parametrize(
    "word",
    [
        "immune",
        "provabl",
        "guaranteed accuracy",
        "state-of-the-art",
        "ground truth",
        "validation set",
        "certified safe",
    ],
)
def test_script_does_not_promise(word):
    assert word not in SCRIPT.lower()


def test_tables_of_evidence_name_no_folder(tmp_path):
    run = open_run(notebook_run(tmp_path / "run", facts={"reference": "/home/someone/scans.npz#val"}))
    text = json.dumps(
        [spec_table(run.spec).rows, event_table(run).rows, line_table(run.spec, run.ledger.lines[0]).rows]
    )
    assert "scans.npz#val" in text
    assert "someone" not in text
    assert file_name(r"C:\data\x.npz") == "x.npz"


def test_reports_do_not_change_the_event_table(tmp_path):
    path = notebook_run(tmp_path / "run")
    before = event_table(open_run(path)).rows
    append_event(path / "events.jsonl", REPORTED, files=3)
    assert event_table(open_run(path)).rows == before
    assert before[0][1] == LOCKED


def test_warnings_follow_the_run(tmp_path):
    assert not list(warnings(open_run(notebook_run(tmp_path / "whole"))))
    partial = " ".join(warnings(open_run(notebook_run(tmp_path / "part", drop=5, facts={"reference": "synthetic:8"}))))
    assert "PARTIAL RUN: 5 results" in partial
    assert "NOT SEALED" in partial
    assert "Synthetic" in partial


def test_votes_of_many_classes_are_cut():
    spec = make_spec(classes=10)
    text = votes_in_words(spec, {c: 10 + c for c in range(10)})
    assert text == "19 j, 18 i, 17 h, 16 g, 15 f, 14 e, and 4 more classes"


def test_what_is_shown_is_escaped_and_long_tables_scroll(shown):
    say("a < b & <script>", warn=True)
    table(Table(("name", "n"), tuple((NASTY, str(i)) for i in range(100)), ()), "caption <i>")
    (sentence, found) = shown
    assert "<script>" not in sentence["text/html"]
    assert "a < b" in sentence["text/plain"]
    assert "<b>" not in found["text/html"]
    assert "caption &lt;i&gt;" in found["text/html"]
    assert "overflow: auto" in found["text/html"]
    assert found["text/html"].count("<tr>") == 101
    assert "70 more rows" in found["text/plain"]


def test_the_runs_own_settings_give_the_results_table(tmp_path):
    run = open_run(notebook_run(tmp_path / "run", images=30, k="1,2"))
    for sigma in run.spec.request.sigma:
        for k in (1, 2):
            found = moves(run, (sigma, k), "alpha", {"0.001": {"alpha": 0.001}, "1e-9": {"alpha": 1e-9}}, own="0.001")
            entries = [entry for entry in run.results() if (entry.sigma, entry.k) == (sigma, k)]
            assert found.certified[0] == tuple(entry.certified if entry.attainable else None for entry in entries)
            assert found.limits[0] == entries[0].r_max
            strict = [0 if s is None else s for s in found.certified[1]]
            assert all(s <= entry.certified for s, entry in zip(strict, entries, strict=True))
            own, other = found.table(copies=["7", "8"]).rows
            assert own[0] == "0.001 (this run)"
            assert all(not text.startswith(">=") for text in own)
            assert all(text.startswith(">=") or text == "not attainable" for text in other[3:])


def test_a_cut_of_the_looks_is_a_run_planned_with_fewer_samples(tmp_path):
    run = open_run(notebook_run(tmp_path / "run", images=20))
    looks = run.spec.looks[:3]
    assert looks == schedule(looks[-1])
    found = moves(run, (0.25, 1), "n_max", {"cut": {"looks": looks}}, own="")
    plan = Plan(looks, 0.001, "rankcp", 6, 0.25, run.spec.models[0].eta)
    held = []
    for line in run.ledger.at(0.25):
        if line.looks and max(line.selection, key=lambda c: (line.selection[c], -c)) == line.label:
            counts = [[votes.get(c, 0) for c in range(6)] for _, votes in line.looks[:3]]
            held.append(certify_counts(counts, line.label, plan, 1, run.spec.request.radius).certified_at)
    assert found.own is None
    assert found.certified[0] == tuple(
        sum(r in each for each in held) if r <= found.limits[0] else None for r in run.spec.request.radius
    )


def test_a_missing_library_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "jupytext", None)
    with refuses("E-EXTRA-001", match="extra `report`"):
        write_notebook(open_run(notebook_run(tmp_path / "run")), tmp_path)


# every kind of run: the cells, executed here, with warnings as errors

KINDS = {
    "whole": ({"k": "1,3"}, "All 8 cells|All 12 cells|follow from the votes"),
    "partial": ({"drop": 5}, "PARTIAL RUN: 5 results are missing"),
    "no line yet": ({"drop": 16}, "No image has votes"),
    "one image": ({"images": 1}, "Of 1 images"),
    "nothing certified": ({"share": 0.0}, "0 were certified-correct"),
    "nothing attainable": ({"radius": "3,5"}, "r = 3 is not attainable"),
    "no radius at all": ({"stopping": "fixed", "n_max": 5}, "No radius of this run is attainable"),
    "fixed": ({"stopping": "fixed"}, "has a single look"),
    "thousand classes": ({"classes": 1000, "bound": "simuem"}, "1,000 classes"),
    "no k = 1": ({"k": "2,3"}, "k = 2"),
    "prediction only": ({"k": "1,2", "target": "prediction"}, "have no votes after selection"),
    "label only": ({"target": "label", "bound": "cohen"}, "k = 1: the reference label"),
    "two classes": ({"classes": 2}, "2 classes"),
    "float noise": ({"noise": "float"}, "not covered (ordinary floating-point noise)"),
    "criteria": (
        {
            "criteria": [{"sigma": "0.5", "radius": 0.25, "at_least": 0.1}],
            "primary": {"sigma": "0.5", "radius": 0.25},
        },
        "Acceptance criteria",
    ),
    "many radii": ({"radius": "0.05,0.1,0.15,0.2,0.25,0.3,0.35"}, "r = 0.35"),
    "denoised": ({"denoiser": "denoisers/{sigma}.safetensors"}, "the pipeline: denoiser, then classifier"),
    "synthetic": ({"facts": {"reference": "synthetic:8"}}, "Synthetic images"),
}


QUICK = ("whole", "denoised")


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=[] if kind in QUICK else pytest.mark.slow) for kind in KINDS]
)
def test_every_kind_of_run_executes(kind, tmp_path, shown):
    asked, words = KINDS[kind]
    said = execute(notebook_run(tmp_path / "run", **asked), shown)
    assert re.search(words.replace("(", r"\(").replace(")", r"\)"), said)
    assert "Skipped: LIVE is False" in said
    assert "all agree" in said
    assert "DAMAGED" not in said
    assert "nan" not in re.sub(r"[a-z]nan|nan[a-z]", "", said)
    assert str(tmp_path) not in said


@pytest.mark.slow
def test_damage_is_named_and_a_changed_result_stops_the_notebook(tmp_path, shown):
    path = notebook_run(tmp_path / "run")
    results = path / "results" / "results.json"
    record = json.loads(results.read_text())
    record["cells"][0]["certified"] += 1
    results.write_text(json.dumps(record))
    with pytest.raises(EvidenceError, match=r"results.json .* sigma 0.25"):
        execute(path, shown)
    lines = (path / "ledger" / "local-0.jsonl").read_text().splitlines()
    (path / "ledger" / "local-0.jsonl").write_text("\n".join(lines[1:]) + "\n")
    said = execute(path, shown)
    assert "DAMAGED: ledger: 15 lines, but 16 were sealed" in said


def test_another_entry_can_be_shown_and_an_unknown_one_is_refused(tmp_path, shown):
    path = notebook_run(tmp_path / "run")
    with pytest.raises(ValueError, match="SHOWN: expected a sigma, k and radius of this run"):
        execute(path, shown, SHOWN="(0.3, 1, 0.1)")
    with pytest.raises(FileNotFoundError, match=r"set RUN in the cell above"):
        execute(path, shown, RUN='Path("elsewhere")')


@pytest.mark.slow
def test_five_images_are_certified_live_and_agree_with_the_ledger(tmp_path, shown, monkeypatch):
    from smoothcert.engine.run import certify

    monkeypatch.chdir(tmp_path)
    data = write_random_images(tmp_path / "images.npz")
    write_resnet(tmp_path / "net.safetensors", images=data)
    certify(tiny_request("net.safetensors", Path("images.npz"), k=(1, 2)), tmp_path / "run")
    monkeypatch.setenv("SMOOTHCERT_FILES", str(tmp_path))
    said = execute(tmp_path / "run", shown, live='"auto"')
    assert "net.safetensors and images.npz were found" in said
    assert re.search(r"All \d+ comparable counts", said)
    assert "recipe differs" not in said

    ledger = tmp_path / "run" / "ledger" / "local-0.jsonl"
    records = [json.loads(line) for line in ledger.read_text().splitlines()]
    for record in records:
        record["selection"] = dict(zip(record["selection"], reversed(record["selection"].values()), strict=True))
    ledger.write_text("".join(json.dumps(record) + "\n" for record in records))
    (tmp_path / "run" / "results" / "results.json").unlink()
    shown.clear()
    said = execute(tmp_path / "run", shown, live='"auto"')
    assert re.search(r"\d counts differ from the ledger's|\d of \d+ counts differ", said)
    assert "Find out why" in said

    (tmp_path / "net.safetensors").rename(tmp_path / "moved.safetensors")
    assert "not at the paths in spec.json" in execute(tmp_path / "run", shown, live='"auto"')
    write_resnet(tmp_path / "net.safetensors", seed=4, images=data)
    assert "not that of the run (different hash)" in execute(tmp_path / "run", shown, live='"auto"')


@pytest.mark.slow
def test_a_built_in_denoiser_is_loaded_live_and_another_one_is_not(tmp_path, shown, monkeypatch):
    from smoothcert.engine.run import certify

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SMOOTHCERT_FILES", str(tmp_path))
    data = write_random_images(tmp_path / "images.npz")
    write_resnet(tmp_path / "net.safetensors", images=data)
    denoiser = write_denoiser(tmp_path / "den_0.25.safetensors")
    settings = {"denoiser": "den_{sigma}.safetensors"}
    certify(tiny_request("net.safetensors", Path("images.npz"), **settings), tmp_path / "run")
    said = execute(tmp_path / "run", shown, live='"auto"')
    assert "den_0.25.safetensors, net.safetensors and images.npz were found" in said
    assert re.search(r"All \d+ comparable counts", said)
    denoiser.unlink()
    assert "not at the paths in spec.json" in execute(tmp_path / "run", shown, live='"auto"')
    write_denoiser(denoiser, seed=6)
    shown.clear()
    assert "the denoiser is not that of the run (different hash)" in execute(tmp_path / "run", shown, live='"auto"')


def test_a_denoiser_of_other_code_is_not_run_live(tmp_path, shown):
    path = notebook_run(tmp_path / "run", model="net.safetensors", denoiser="nowhere:denoiser", built_in=True)
    said = execute(path, shown, live='"auto"')
    assert "Skipped: only built-in architectures" in said
    assert "the denoiser is another one" in said


def test_without_torch_section_one_is_skipped_and_nothing_else_misses_it(tmp_path, shown, monkeypatch):
    path = notebook_run(tmp_path / "run")
    for name in [name for name in sys.modules if name == "torch" or name.startswith("torch.")]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, "torch", None)
    said = execute(path, shown, live='"auto"')
    assert "Skipped: torch is not installed" in said
    assert "Recomputation from votes does not show" in said


def test_docs_name_every_setting_and_section():
    page = (Path(__file__).parents[2] / "docs" / "notebook.md").read_text(encoding="utf-8")
    settings = re.findall(r"^([A-Z]+) = ", SCRIPT.partition("import contextlib")[0], flags=re.M)
    assert len(settings) == 4
    assert all(f"| `{name}` |" in page for name in settings)
    for number, title in re.findall(r"^# ## (\d) ([^\n]+)", SCRIPT, flags=re.M):
        assert f"| {number} {title.removesuffix(' from the votes')} |" in page


@pytest.mark.slow
def test_code_is_not_run(tmp_path, shown, monkeypatch):
    from smoothcert.engine.run import certify

    monkeypatch.chdir(tmp_path)
    write_factory(tmp_path)
    write_random_images(tmp_path / "images.npz")
    certify(tiny_request("nets:brittle", Path("images.npz"), stopping="fixed", n_max=2000), tmp_path / "run")
    sys.modules.pop("nets", None)
    monkeypatch.setenv("SMOOTHCERT_FILES", str(tmp_path))
    for live in ('"auto"', "True"):
        assert "Skipped: only built-in architectures" in execute(tmp_path / "run", shown, live=live)
        assert "nets" not in sys.modules


# the notebook itself, in a kernel


@pytest.mark.slow
def test_the_notebook_is_stable_small_and_knows_nothing_of_the_machine(tmp_path):
    nbformat = pytest.importorskip("nbformat")
    one = notebook_run(tmp_path / "one", k="1,2")
    path = write_notebook(open_run(one), one / "results")
    assert path == one / "results" / "notebook.ipynb"
    shutil.copytree(one, tmp_path / "deeper" / "two")
    os.remove(tmp_path / "deeper" / "two" / "results" / "notebook.ipynb")
    two = tmp_path / "deeper" / "two"
    append_event(two / "events.jsonl", REPORTED, files=3)
    again = write_notebook(open_run(two), two / "results")
    assert again.read_bytes() == path.read_bytes()
    assert sorted(p.name for p in (two / "results").iterdir()) == ["notebook.ipynb", "results.json"]

    text = path.read_text(encoding="utf-8")
    assert len(text) < 2_000_000
    for private in (str(tmp_path), os.getcwd(), str(Path.home()) + "/", sys.prefix, "/tmp/"):
        assert private not in text
    stored = nbformat.reads(text, as_version=4)
    nbformat.validate(stored)
    outputs = json.dumps([entry.outputs for entry in stored.cells if entry.cell_type == "code"])
    for private in (f'"{getpass.getuser()}"', f"/{getpass.getuser()}/", socket.gethostname() + " "):
        assert private not in outputs
    assert '"execution"' not in text
    assert '"error"' not in outputs
    assert '"stderr"' not in outputs
    assert 'RUN = Path(\\"..\\")' in text
    assert all(entry.execution_count for entry in stored.cells if entry.cell_type == "code")


@pytest.mark.slow
def test_beside_another_folder_the_notebook_finds_its_run_and_live_can_be_off(tmp_path):
    run = open_run(notebook_run(tmp_path / "run"))
    (tmp_path / "handed" / "over").mkdir(parents=True)
    text = write_notebook(run, tmp_path / "handed" / "over", live=False).read_text(encoding="utf-8")
    assert 'RUN = Path(\\"../../run\\")' in text
    assert "Skipped: LIVE is False" in text


def test_a_failing_cell_is_named_and_nothing_is_written(tmp_path, monkeypatch):
    nbformat = pytest.importorskip("nbformat")
    entries = [
        nbformat.v4.new_markdown_cell("## 3 Certificates\n\nwords"),
        nbformat.v4.new_code_cell("x = 1"),
        nbformat.v4.new_code_cell("assert x == 2, 'the radius differs'"),
        nbformat.v4.new_code_cell("x = 3"),
    ]
    monkeypatch.setattr(build, "read_script", lambda *_: nbformat.v4.new_notebook(cells=entries))
    run = open_run(notebook_run(tmp_path / "run"))
    with refuses("E-RUN-070", match="code cell 2, section '3 Certificates', failed \\(AssertionError: the"):
        write_notebook(run, tmp_path / "run" / "results")
    assert [p.name for p in (tmp_path / "run" / "results").iterdir()] == ["results.json"]


def test_the_kernel_is_this_python_and_imports_nothing_from_the_folder(tmp_path, monkeypatch):
    nbformat = pytest.importorskip("nbformat")
    (tmp_path / "run").mkdir()
    for name in ("mpmath.py", "ipykernel_launcher.py"):
        (tmp_path / "run" / name).write_text("raise RuntimeError('a file beside the notebook was imported')")
    code = "import mpmath, os, sys\nprint(sys.executable)\nprint(os.environ['IPYTHONDIR'])\n"
    entry = nbformat.v4.new_code_cell(code + "print('a notice of ' + sys.prefix, file=sys.stderr)")
    monkeypatch.setattr(build, "read_script", lambda *_: nbformat.v4.new_notebook(cells=[entry]))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "no kernels here"))
    notebook = build._execute(build.read_script(), tmp_path / "run")
    (said,) = (each.text for each in notebook.cells[0].outputs if each.name == "stdout")
    assert f"a notice of {sys.prefix}" in str(notebook.cells[0].outputs)
    assert f"a notice of {sys.prefix}" not in build._stored(notebook)
    python, settings = said.split()
    assert python == sys.executable
    assert not Path(settings).exists()


@pytest.mark.parametrize(
    ("column", "left"),
    [
        (("85.2 % (341)", ">= 61.5 % (246)", "not attainable"), False),
        (("24/36", "96.1 (89.0 to 99.2)", "-"), False),
        (("0.001 (this run)", "1e-05", "0.25, 0.5"), False),
        (("1,467", "over 10,000,000"), False),
        (("0 (basophil)", "12 (platelet)"), True),
        (("sha256:00aa", "2026-11-22T14:43:57Z", "3 of them"), True),
        (("-", "-"), False),
    ],
)
def test_words_are_left_aligned_and_numbers_right_aligned(column, left, shown):
    table(Table(("heading",), tuple((text,) for text in column), ()))
    assert ("text-align: left" in shown[0]["text/html"]) is left


def test_subgroups_have_a_section_only_where_there_are_some(tmp_path, shown):
    columns = {"sex": [f"{NASTY} {i % 2}" for i in range(120)], "id": [str(i) for i in range(120)]}
    said = execute(notebook_run(tmp_path / "some", images=120, subgroups=columns), shown).replace(
        "\N{NO-BREAK SPACE}", " "
    )
    assert "Certified accuracy by subgroup at k = 1, r = 0.1" in said
    assert "90 more values" in said
    assert "is no test of fairness" in said
    assert f"{NASTY} 1" in said
    assert "results by sex, id" in said
    assert f"sex: {NASTY}" in said
    none = json.dumps(build.read_script(open_run(notebook_run(tmp_path / "none")), tmp_path, live=True))
    assert "subgroup_note" not in none
    assert "Results by subgroup" not in none
