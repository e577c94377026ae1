import csv
import io
import json
import re
import subprocess
import sys
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from smoothcert.cli import main
from smoothcert.config import make_request
from smoothcert.evidence import open_run
from smoothcert.report.results_table import INTERVAL_ASSUMES
from smoothcert.stats import radii_from_counts
from smoothcert.yaml_files import parse_yaml

from .conftest import COMMAND

VERBS = ("certify", "resume", "status", "table", "radius", "verify", "train")

HELP = """
import contextlib, io, json, sys
from smoothcert.cli import main
pages = {}
for words in ([], *([verb] for verb in sys.argv[1:])):
    page = io.StringIO()
    with contextlib.redirect_stdout(page):
        try:
            main([*words, "--help"])
        except SystemExit as done:
            assert not done.code
    pages[" ".join(words)] = page.getvalue()
print(json.dumps({"pages": pages, "torch": "torch" in sys.modules, "numba": "numba" in sys.modules}))
"""


@pytest.fixture(scope="module")
def help_pages():
    done = subprocess.run([sys.executable, "-c", HELP, *VERBS], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_help_imports_nothing_heavy(help_pages):
    assert (help_pages["torch"], help_pages["numba"]) == (False, False)


def test_help_names_every_verb_and_the_units(help_pages):
    page = help_pages["pages"][""]
    assert all(re.search(rf"\b{verb} ", page) for verb in VERBS)
    assert "in units of the [0, 1] range" in page
    for verb in ("certify", "radius", "train"):
        assert "in units of the [0, 1] range" in help_pages["pages"][verb]
    assert all(page.startswith("Usage: smoothcert") for page in help_pages["pages"].values())


def test_help_calls_a_thing_by_one_name_and_has_no_flag_that_empties_a_list(help_pages):
    for page in help_pages["pages"].values():
        many = re.search(r"(\w+)\.\.\.", page.partition("\n")[0])
        assert many is None or re.search(rf"^  {many[1]}\b", page, re.MULTILINE), page
        assert "--empty-" not in page


def test_the_installed_command(project):
    command = str(Path(sys.executable).with_name("smoothcert"))
    done = subprocess.run([command, "verify", "run"], cwd=project, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    bad = subprocess.run([command, "verify", "none"], cwd=project, capture_output=True, text=True, check=False)
    assert (bad.returncode, bad.stdout) == (2, "")
    assert bad.stderr == "smoothcert: Expected a run directory with a spec.json, found none in none. [E-RUN-028]\n"


NO_TORCH = """
import sys
from smoothcert.cli import main
from smoothcert.yaml_files import parse_yaml
try:
    main(sys.argv[1:])
except SystemExit as done:
    assert not done.code
assert "torch" not in sys.modules
"""


@pytest.mark.parametrize("arguments", ["table run", "verify run", "status run", "radius counts.txt --sigma 0.25"])
def test_reading_evidence_needs_no_torch(project, arguments):
    (project / "counts.txt").write_text("90 8 2 0\n")
    subprocess.run([sys.executable, "-c", NO_TORCH, *arguments.split()], cwd=project, check=True, capture_output=True)
    (project / "counts.txt").unlink()


def config_of(*flags):
    """The request that `--print-config` prints."""
    page = io.StringIO()
    with redirect_stdout(page), pytest.raises(SystemExit) as done:
        main(["certify", *flags, "--print-config"])
    assert not done.value.code
    return page.getvalue()


requests = st.fixed_dictionaries(
    {
        "model": st.sampled_from(["w_{sigma}.safetensors", "nets:net", "true", "1.5"]),
        "data": st.sampled_from(["d.npz#val", "no", "d: e.npz"]),
        "sigma": st.sampled_from(["0.50", "0.25,0.5,1.0", "1 0.25", "1e-1"]),
        "radius": st.sampled_from(["0.25", "0.125,3"]),
        "k": st.sampled_from(["1", "1,3,5"]),
        "alpha": st.floats(1e-12, 0.49).map(str),
        "stopping": st.sampled_from(["looks", "fixed"]),
        "n-max": st.integers(100, 10**7).map(str),
        "compile": st.sampled_from(["on", "off"]),
    },
    optional={
        "seed": st.integers(0, 2**64 - 1).map(str),
        "limit": st.just("12"),
        "quantise": st.just("8"),
        "weights": st.just("w.pt"),
        "batch-size": st.just("64"),
    },
)


@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(requests, st.booleans())
def test_printed_settings_give_the_same_request(tmp_path_factory, asked, trusted):
    flags = [f"--{name}={value}" for name, value in asked.items()] + ["--trust-model"] * trusted
    printed = config_of(*flags)
    again = tmp_path_factory.mktemp("config") / "again.yaml"
    again.write_text(printed)
    assert config_of("--config", str(again)) == printed
    read = make_request(**parse_yaml(printed, "printed"))
    wanted = make_request(**{name.replace("-", "_"): value for name, value in asked.items()})
    assert "trust_model" not in printed
    assert read == wanted
    assert [sigma.text for sigma in read.sigma] == [sigma.text for sigma in wanted.sigma]


def test_a_setting_named_like_a_verb_is_read(tmp_path):
    (tmp_path / "c.yaml").write_text("model: m.safetensors\ndata: d.npz\nradius: 0.125\n")
    assert parse_yaml(config_of("--config", str(tmp_path / "c.yaml")), "printed")["radius"] == [0.125]


def test_flags_override_the_file(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("model: a.safetensors\ndata: d.npz\nsigma: [0.25, 1.0]\nalpha: 0.01\nn_max: 500\n")
    read = parse_yaml(config_of("--config", str(path), "--sigma", "0.50", "--alpha", "0.02"), "printed")
    assert (read["sigma"], read["alpha"], read["n_max"], read["model"]) == (["0.50"], 0.02, 500, "a.safetensors")


@pytest.mark.parametrize(
    "words", [["--sigma", "0.25", "--sigma", "0.50"], ["--sigma", "0.25", "0.50"], ["--sigma", "0.25,0.50"]]
)
def test_lists_in_every_spelling(words):
    read = parse_yaml(config_of("--model", "m.safetensors", "--data", "d.npz", *words), "printed")
    assert read["sigma"] == ["0.25", "0.50"]


def test_the_real_run_is_what_was_asked_for(project):
    run = open_run(project / "run")
    assert run.sealed
    assert run.missing == 0
    assert run.spec.looks == (133, 200)
    assert [model.written for model in run.spec.models] == ["0.25", "0.50"]
    assert (run.spec.seed, run.spec.seed_source) == (3, "user")
    assert run.spec.data.class_counts == (4, 4, 4)
    events = [event.event for event in run.directory.read_events()]
    beside = ["repeated images", "without noise", "without noise", "changed images", "rates"]
    assert events == ["spec locked", "start", *beside, *(["noise level", "energy"] * 2), "finish"]


def test_certify_prints_the_table_and_the_way_on(say, project, tmp_path):
    said = say(*COMMAND.split(), "--limit", "2", "--out", tmp_path / "run")
    assert said.code == 0
    assert said.out.splitlines()[0].startswith("| sigma | k |")
    assert len(re.findall(r"^\|", said.out, re.M)) == 2 + 2 * 2 * 3
    assert "sigma 0.25 (63.8 grey levels)" in said.err
    assert f"Evidence: {tmp_path / 'run'} (4 lines, sealed)." in said.err
    assert f"smoothcert report {tmp_path / 'run'} " in said.err


def test_verify_of_a_real_run(say, real_run):
    said = say("verify", real_run)
    assert said.code == 0
    counted = (
        r"verifies \(sealed\): [\d,]+ confidence bounds, 48 radii, 144 decisions and [\d,]+ claims .* 24 ledger lines"
    )
    assert re.search(counted, said.out)
    assert "Not shown by this: that the counts came from these weights and images" in said.out


def test_verify_of_a_changed_run(say, real_run):
    path = real_run / "results" / "results.json"
    path.write_text(path.read_text().replace('"certified": ', '"certified": 1', 1))
    said = say("verify", real_run)
    assert said.code == 1
    assert said.out.startswith(
        "FAULT  results/results.json does not follow from the votes: cells[sigma 0.25, k 1, r 0.1].certified"
    )
    assert "does NOT verify: 1 fault." in said.out


def test_verify_and_table_of_an_unfinished_run(say, unfinished):
    said = say("verify", unfinished)
    assert said.code == 0
    assert "NOT SEALED" in said.out
    assert "Partial run: 2 of 24 results are missing." in said.out
    said = say("table", unfinished)
    assert "partial run" in said.out
    assert "2 of 24 results are missing; their images count as not certified. NOT SEALED." in said.out


def test_resume_makes_the_run_whole_again(say, unfinished, project):
    said = say("resume", unfinished, "--model", "cli_nets:brightness")
    assert said.code == 0
    assert open_run(unfinished).ledger.sha256() == open_run(project / "run").ledger.sha256()
    assert open_run(unfinished).sealed
    assert say("verify", unfinished).code == 0


def test_table_of_a_run_in_every_form(say, real_run):
    stored = json.loads((real_run / "results" / "results.json").read_text())["cells"]
    printed = json.loads(say("table", real_run, "--format", "json").out)
    assert {row.pop("interval_assumes") for row in printed if row["attainable"]} == {INTERVAL_ASSUMES}
    assert [{name: row[name] for name in entry} for row, entry in zip(printed, stored, strict=True)] == stored
    rows = list(csv.DictReader(io.StringIO(say("table", real_run, "--format", "csv").out)))
    assert [int(row["certified"] or -1) for row in rows] == [
        entry["certified"] if entry["attainable"] else -1 for entry in stored
    ]
    assert r"\begin{tabular}" in say("table", real_run, "--format", "tex").out
    markdown = say("table", real_run, "--radius", "0.2,0.9").out
    assert len(re.findall(r"^\|", markdown, re.M)) == 2 + 2 * 2 * 2
    assert "at least" in markdown
    assert ">= " in markdown
    assert re.search(r"\| +0\.25 \| +1 \| +0\.9 \| +- \| +not attainable \(R_max 0\.\d{4}\) ", markdown)


def test_a_table_of_a_run_without_any_line(say, unfinished):
    (unfinished / "ledger" / "local-0.jsonl").unlink()
    rows = say("table", unfinished).out.splitlines()[2:14]
    assert all("| 0/12 |" in " ".join(row.split()) or "not attainable" in row for row in rows)
    assert re.search(r"sigma 0.5   \.{10}  0/12 images decided, not started", say("status", unfinished).out)


def test_radius_on_the_published_counts(say, shared_data):
    path = shared_data / "topk" / "cifar10_sigma0.25_counts.txt"
    said = say("radius", path, "--sigma", "0.25", "--k", "3", "--bound", "simuem")
    printed = said.out.splitlines()
    assert len(printed) == 500
    assert all(re.fullmatch(r"\d+\.\d{6}", line) for line in printed)
    published = np.loadtxt(shared_data / "topk" / "cifar10_sigma0.25_k3_radii.txt", skiprows=1)[:, 1]
    ours = np.array([float(line) for line in printed])
    last_digit = np.where(published < 1, 0.001, 0.01)
    assert (np.abs(ours - published) <= last_digit).all()


def test_radius_is_rounded_down_and_counts_at_radii(say, tmp_path):
    counts, labels = [[990, 8, 2], [510, 488, 2], [1000, 0, 0]], [0, 0, 0]
    path = tmp_path / "counts.csv"
    path.write_text(
        "".join(",".join(map(str, [*row, label])) + "\n" for row, label in zip(counts, labels, strict=True))
    )
    printed = say("radius", path, "--sigma", "0.5").out
    assert printed.split() == [f"{r:.6f}" for r in radii_from_counts(counts, labels, 1, 0.5)]
    said = say("radius", path, "--sigma", "0.5", "--radius", "0.25", "2")
    assert said.out.splitlines() == [
        "certified top-1 accuracy at r = 0.25: 2/3 = 66.6 % (rankcp)",
        "certified top-1 accuracy at r = 2: not attainable (R_max 1.2226) (rankcp)",
    ]


def test_table_on_the_four_published_logs(say, shared_data):
    folder = shared_data / "locuslab_cifar10"
    said = say("table", *sorted(folder.glob("*.tsv")))
    rows = [line for line in said.out.splitlines() if "noise_" in line]
    assert len(rows) == 4 * 6
    entries = [float(row.split("|")[4]) for row in rows]
    text = (folder / "published_table.md").read_text()
    assert entries == [float(x) for x in re.findall(r"\|(?: |)(\d\.\d\d)", text)]


def test_train_and_certify_what_was_trained(say, project, tmp_path):
    weights = tmp_path / "r8_0.25.safetensors"
    said = say(*f"train --data images.npz --sigma 0.25 --arch resnet8 --epochs 1 --out {weights}".split())
    assert said.code == 0
    assert f"Weights: {weights}" in said.out
    assert "epoch 1/1: loss" in said.err
    model = tmp_path / "r8_{sigma}.safetensors"
    flags = f"--data images.npz --sigma 0.25 --n-max 100 --limit 2 --batch-size 64 --out {tmp_path / 'run'}"
    said = say("certify", "--model", model, *flags.split())
    assert said.code == 0
    assert say("verify", tmp_path / "run").code == 0


def test_an_interrupted_run_can_be_continued(say, monkeypatch, project, tmp_path):
    from smoothcert.evidence.ledger import LedgerWriter

    append = LedgerWriter.append

    def interrupted(writer, lines):
        append(writer, lines)
        if lines:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(LedgerWriter, "append", interrupted)
        said = say(*COMMAND.split(), "--out", tmp_path / "run")
    assert said.code == 130
    assert f"Continue with `smoothcert resume {tmp_path / 'run'} --model cli_nets:brightness`" in said.err
    assert not open_run(tmp_path / "run").sealed
    assert say("resume", tmp_path / "run", "--model", "cli_nets:brightness").code == 0
    assert open_run(tmp_path / "run").ledger.sha256() == open_run(project / "run").ledger.sha256()
