"""Logging to MLflow, with a store of files: metrics, artefacts and tags; it runs in a process of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from report.memo_runs import FULL, PRIMARY, memo_run
from smoothcert.evidence import open_run
from smoothcert.report.filing import tracking
from smoothcert.report.memo import make_memo, make_sponsor

pytest.importorskip("mlflow")

LOG = """
import json, sys
from pathlib import Path
from smoothcert.evidence import open_run
from smoothcert.report.filing.tracking import log_run
from smoothcert.report.memo import make_memo, make_sponsor
run, uri = open_run(Path(sys.argv[1])), sys.argv[2]
number = log_run(run, make_memo(run, make_sponsor({})), uri, [Path(each) for each in sys.argv[3:]])
from mlflow.tracking import MlflowClient
client = MlflowClient(tracking_uri=uri)
found = client.get_run(number)
names = [each.path for each in client.list_artifacts(number)]
print(json.dumps([found.info.status, found.data.metrics, found.data.params, found.data.tags, names]))
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return memo_run(tmp_path_factory.mktemp("mlflow") / "run", images=12, primary=PRIMARY, k=(1, 2))


def metrics(run, **sponsor):
    return dict(tracking.metrics_of(run, make_memo(run, make_sponsor({**FULL, **sponsor}))))


def test_metrics_are_the_counts_of_the_results(run):
    found = metrics(run)
    for entry in run.results():
        place = f"sigma {entry.sigma:g}/k {entry.k}/r {entry.radius:g}"
        assert found[f"images/{place}"] == 12
        if entry.attainable:
            assert found[f"certified/{place}"] == entry.certified
            assert found[f"lower bound of rightly certified/{place}"] == entry.sample
            assert found[f"joint lower bound of the population/{place}"] == entry.joint


@pytest.mark.parametrize(
    "sponsor",
    [
        {"population": None},
        {"independence": None},
        {"independence": {"statement": "no", "independent": False, "sampling": "random"}},
    ],
)
def test_without_a_described_population_of_independent_images_no_bound_is_logged(run, sponsor):
    assert not any("population" in name for name in metrics(run, **sponsor))


def test_a_partial_run_has_no_bound_for_a_population(tmp_path):
    found = metrics(memo_run(tmp_path / "run", images=12, primary=PRIMARY, drop=3))
    assert not any("population" in name for name in found)
    assert any(name.startswith("without a result/") and value == 3 for name, value in found.items())


def logged(run, uri, *files, allowed):
    environment = {**os.environ, "MLFLOW_ALLOW_FILE_STORE": allowed}
    command = [sys.executable, "-c", LOG, str(run.directory.path), uri, *map(str, files)]
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


def test_a_store_of_files_has_metrics_documents_and_tags(run, tmp_path):
    results = run.directory.results
    results.mkdir(exist_ok=True)
    file = results / "results.csv"
    file.write_text("x\n")
    done = logged(run, f"file:{tmp_path / 'store'}", file, allowed="true")
    assert done.returncode == 0, done.stderr
    status, found, params, tags, names = json.loads(done.stdout.splitlines()[-1])
    expected = dict(tracking.metrics_of(run, make_memo(run, make_sponsor({}))))
    assert found == expected
    assert status == "FINISHED"
    assert params["alpha"] == "0.001"
    assert "UNSIGNED" in tags["smoothcert.marks"]
    assert names == ["results.csv"]
    assert open_run(Path(run.directory.path)).sealed


def test_a_store_that_mlflow_refuses_is_named(run, tmp_path):
    done = logged(run, f"file:{tmp_path / 'store'}", allowed="false")
    assert done.returncode != 0
    assert "E-INPUT-220" in done.stderr or "--mlflow file:" in done.stderr
