"""With a denoiser every document says that the pipeline is certified, and what is in it; without one none does."""

import json
from dataclasses import replace

import pytest

from factories import denoiser_facts, make_forecast, make_run, make_spec
from refusals import refuses
from report.memo_runs import FULL, OVERLONG
from report.pages import Reader
from smoothcert.cli import main
from smoothcert.config import Stated, read_spec
from smoothcert.config.plan import make_plan_settings
from smoothcert.config.spec import NOTHING
from smoothcert.evidence import Run, open_run
from smoothcert.evidence.events import CLEAN, append_event
from smoothcert.evidence.run import Planned, difference
from smoothcert.report import claims
from smoothcert.report.claims import DENOISED, ROWS, guarantees
from smoothcert.report.figures.captions import samples_words
from smoothcert.report.figures.curves import sample_counts
from smoothcert.report.html_report.build import render
from smoothcert.report.html_report.provenance import event_words
from smoothcert.report.memo import FILES, make_memo, make_sponsor
from smoothcert.report.memo.blocks import pieces
from smoothcert.report.memo.build import typeset
from smoothcert.report.memo.pdftext import page_count
from smoothcert.report.networks import networks
from smoothcert.report.notebook.facts import event_table, spec_table
from smoothcert.report.plan.write import reading
from smoothcert.report.results import results_texts
from smoothcert.report.results_table import results_table
from smoothcert.report.tables import accuracy_table

DENOISER = "folder/denoiser.safetensors"
PRIMARY = {"sigma": 0.5, "radius": 0.25, "k": 1}
FIGURE = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 86 80"><rect width="86" height="80" fill="#ddd"/></svg>'


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The same run with a denoiser (True) and without one."""
    folder = tmp_path_factory.mktemp("runs")
    return {
        True: make_run(folder / "denoised", images=24, primary=PRIMARY, denoiser=DENOISER),
        False: make_run(folder / "plain", images=24, primary=PRIMARY),
    }


def with_denoisers(run, *changed):
    """Return the run with other facts of the denoiser of each noise level."""
    models = [
        model.model_copy(update={"denoiser": denoiser_facts(DENOISER).model_copy(update=facts)})
        for model, facts in zip(run.spec.models, changed, strict=True)
    ]
    found = Run(run.directory, run.spec.model_copy(update={"models": tuple(models)}), run.ledger)
    found.__dict__["events"] = run.events
    return found


def memo_text(run):
    return " ".join(piece.text for page in make_memo(run, make_sponsor(FULL)).pages for piece in pieces(page))


def documents(run):
    figure = samples_words(run, [sample_counts(run, float(sigma)) for sigma in run.spec.request.sigma])
    tables = results_texts(run)
    return {
        "memo": memo_text(run),
        "report.html": Reader(render(run)).text,
        "results.md": tables["results.md"],
        "results.tex": tables["results.tex"],
        "figure": " ".join(figure.foot),
    }


@pytest.mark.parametrize("denoised", [True, False])
def test_documents_say_what_is_certified(runs, denoised):
    for name, text in documents(runs[denoised]).items():
        assert (claims.PIPELINE in text) == denoised, name
        assert ("denoise" in text.lower()) == denoised, name
    assert "pipeline without noise" in claims.PIPELINE


def test_both_networks_are_named_with_their_hashes(runs):
    run = runs[True]
    memo = make_memo(run, make_sponsor(FULL))
    parts = [row[0] for row in memo.tables["items"].rows]
    assert parts == ["1 denoiser", "2 classifier"]  # shared by both noise levels
    assert [row[2] for row in memo.tables["items"].rows] == ["denoiser.safetensors", "nets:net"]
    assert tuple(sha for name, sha in memo.tables["hashes"].rows if "sigma" in name) == ("7" * 64, "c" * 64)
    page, notebook = Reader(render(run)).text, str(spec_table(run.spec).rows)
    for sha in ("7" * 64, "c" * 64):
        assert sha in page
        assert sha in notebook
    assert DENOISER not in notebook  # notebooks are passed on
    text = results_texts(run)["results.md"]
    assert "| denoiser" in text
    assert all(sha in text for sha in ("7" * 64, "c" * 64))


def test_a_denoiser_that_is_code_is_identified_by_its_source_too(runs):
    code = "5" * 64
    run = with_denoisers(runs[True], *({"source_sha256": f"sha256:{code}"},) * 2)
    assert dict(make_memo(run, make_sponsor(FULL)).tables["hashes"].rows)["code of the denoiser"] == code
    assert code in Reader(render(run)).text


def test_denoisers_that_differ_in_code_alone_are_listed_apart(runs):
    nothing, codes = {"reference": "in memory (Blur)", "sha256": NOTHING}, [f"sha256:{digit * 64}" for digit in "56"]
    run = with_denoisers(runs[True], *({**nothing, "source_sha256": code} for code in codes))
    run = Run(run.directory, run.spec.model_copy(update={"minor": 3}), run.ledger)
    tables = make_memo(run, make_sponsor(FULL)).tables
    assert [row[1] for row in tables["items"].rows if row[0] == "1 denoiser"] == ["0.25", "0.5"]
    hashes = dict(tables["hashes"].rows)
    assert [hashes[f"code of the denoiser, sigma {sigma}"] for sigma in ("0.25", "0.5")] == ["5" * 64, "6" * 64]
    assert NOTHING[7:23] not in str(tables["items"].rows) + str(hashes)  # the hash of nothing identifies nothing
    page = Reader(render(run)).text
    assert all(code[7:] in page for code in codes)
    assert NOTHING[7:] not in page


def test_the_memo_lists_denoisers_of_several_noise_levels(runs):
    changed = with_denoisers(runs[True], {"sha256": f"sha256:{'1' * 64}"}, {"trained_low": None, "trained_sigma": None})
    rows = make_memo(changed, make_sponsor(FULL)).tables["items"].rows
    assert [(row[0], row[1], row[-1]) for row in rows] == [
        ("1 denoiser", "0.25", "sigma 0.25 to 0.5"),
        ("1 denoiser", "0.5", "not recorded"),
        ("2 classifier", "0.25, 0.5", "not recorded"),
    ]


@pytest.mark.parametrize(
    ("low", "high", "text"), [(0.25, 0.5, "0.25 to 0.5"), (0.5, 0.5, "0.5"), (None, 0.5, "0.5"), (None, None, None)]
)
def test_the_noise_levels_of_its_training_in_words(runs, low, high, text):
    levels = {"trained_low": low, "trained_sigma": high}
    assert networks(with_denoisers(runs[True], levels, levels).spec)[0].trained == text


def test_normalisation_comes_after_the_denoiser(runs):
    run = with_denoisers(runs[True], {}, {})
    models = tuple(each.model_copy(update={"mean": (0.5,), "std": (0.25,)}) for each in run.spec.models)
    run = Run(run.directory, run.spec.model_copy(update={"models": models}), run.ledger)
    steps = dict(make_memo(run, make_sponsor(FULL)).tables["item_facts"].rows)["Preprocessing"]
    page = Reader(render(run)).text
    for text in (steps, page[page.index("Steps after the noise") :]):
        assert text.index("denoiser") < text.index("images from -1 to 1") < text.index("mean 0.5")


def test_deployment_without_the_denoiser_voids_the_statements(runs):
    for denoised, run in runs.items():
        assert ("without this denoiser" in memo_text(run)) == denoised
        assert ("without this denoiser" in claims.deployment(run.spec)) == denoised
        entry = run.results()[0]
        assert (
            "of the pipeline" in claims.population(entry, True, replace(run, stated=Stated(True, True)))
        ) == denoised


def test_the_rows_of_guarantees_that_name_the_classifier_are_replaced():
    plain, denoised = guarantees(True).rows, guarantees(True, denoised=True).rows
    assert [row[0] for row in plain] == [row[0] for row in denoised]
    assert {row[0] for row in plain} >= set(DENOISED)
    assert [row[0] for row, other in zip(plain, denoised, strict=True) if row != other] == [
        row[0] for row in ROWS if row[0] in DENOISED
    ]


def test_tables_without_a_denoiser_are_those_of_the_entries_alone(runs):
    for denoised, run in runs.items():
        texts, plain = results_texts(run), results_table(run.results())
        assert texts["results.csv"] == plain.render("csv") + "\n"
        assert (texts["results.tex"] == plain.render("tex") + "\n") != denoised
        assert ("clean accuracy of the pipeline" in texts["results.md"]) == denoised


def test_the_clean_accuracies_of_classifier_and_pipeline_have_a_column_each(tmp_path):
    run = make_run(tmp_path / "run", images=24, sigma="0.25", denoiser=DENOISER)
    recorded = {"correct": {"1": [5, 5, 4, 4]}, "alone": {"1": [6, 6, 6, 5]}}
    assert accuracy_table(run).rows[0][2:4] == ("not recorded", "not recorded")
    append_event(run.directory.events, CLEAN, sigma=0.25, images=24, **recorded)
    run = open_run(run.directory.path)
    table = accuracy_table(run)
    alone, pipeline = (
        table.headings.index(f"clean accuracy {of}") for of in ("without the denoiser", "of the pipeline")
    )
    assert [table.rows[0][i] for i in (alone, pipeline)] == ["95.8 % (23/24)", "75.0 % (18/24)"]
    lines = [
        json.loads(text) for path in (run.directory.path / "ledger").iterdir() for text in path.read_text().splitlines()
    ]
    shares = [each["selection"].get(str(each["label"]), 0) / sum(each["selection"].values()) for each in lines]
    noisy = table.rows[0][table.headings.index("its accuracy with noise")]
    assert float(noisy.removesuffix(" %")) == pytest.approx(100 * sum(shares) / len(shares), abs=0.05)
    assert (table.records[0]["alone"], table.records[0]["clean"]) == (23, 18)
    assert "23/24" in event_words(run.events[-1])
    assert "23 (k = 1)" in str(event_table(run).rows)


@pytest.mark.parametrize("show", ["results", "accuracy", "cost"])
def test_every_table_in_the_terminal_names_the_pipeline(runs, capsys, show):
    for denoised, run in runs.items():
        with pytest.raises(SystemExit):
            main(["table", str(run.directory.path), "--show", show])
        assert ("denoiser, then classifier" in " ".join(capsys.readouterr().out.split())) == denoised


def test_status_and_the_summary_of_certify_name_the_pipeline(runs, capsys):
    from smoothcert.cli.certify_work import print_results

    for denoised, run in runs.items():
        with pytest.raises(SystemExit):
            main(["status", str(run.directory.path)])
        print_results(run.directory.path)
        printed = capsys.readouterr()
        for text in (printed.out.partition("| sigma")[0], printed.err):
            assert ("denoiser, then classifier" in " ".join(text.split())) == denoised


@pytest.mark.parametrize("paper", FILES)
def test_the_memo_keeps_four_pages(tmp_path, paper):
    pytest.importorskip("typst")
    settings = {"k": "1,2,3", "radius": "0.1,0.2,0.3,0.4,0.5,0.6", "sigma": ",".join(f"0.{i}" for i in range(1, 10))}
    run = make_run(tmp_path / "run", images=12, noise="float", denoiser="d" * 200, **settings)
    run = with_denoisers(
        run,
        *(
            {
                "sha256": f"sha256:{i:064x}",
                "source_sha256": f"sha256:{'5' * 64}",
                "adapted": ("a step " * 40,),
                "arch": "w" * 90,
            }
            for i in range(9)
        ),
    )
    models = tuple(each.model_copy(update={"sha256": f"sha256:{i:064x}"}) for i, each in enumerate(run.spec.models))
    spec = run.spec.model_copy(update={"models": models})
    run = Run(run.directory, spec, run.ledger)
    assert page_count(typeset(make_memo(run, make_sponsor(OVERLONG)), FIGURE, paper)) == 4


def test_a_plan_names_its_denoiser_and_another_one_is_not_the_planned_run():
    settings = make_plan_settings(model="net.safetensors", data="synthetic:9", sigma="0.25", denoiser=DENOISER)
    spec, bare = make_spec(denoiser=DENOISER), make_spec()
    forecast = make_forecast(spec)
    planned = Planned(settings, 4, 5, _outlook(), forecast)
    assert any("pipeline" in each and DENOISER in each for each in reading(planned))
    assert difference(forecast, spec) is None
    models = (spec.models[0].model_copy(update={"denoiser": denoiser_facts(DENOISER, sha256="sha256:" + "1" * 64)}),)
    assert difference(forecast, spec.model_copy(update={"models": models})).startswith("denoiser at sigma 0.25")
    assert difference(forecast, bare).startswith("denoiser at sigma 0.25")
    assert difference(make_forecast(bare), spec).startswith("denoiser at sigma 0.25")


def _outlook():
    from smoothcert.planning.plan import plan

    return plan(make_plan_settings(classes=4, sigma="0.25")).outlook


def test_a_denoiser_without_a_pilot_is_refused():
    with refuses("E-SPEC-005", match="--denoiser"):
        make_plan_settings(classes=4, sigma="0.25", denoiser=DENOISER)


def test_a_spec_with_a_denoiser_at_some_noise_levels_only_is_refused(runs):
    spec = runs[True].spec
    mixed = spec.model_copy(update={"models": (spec.models[0], spec.models[1].model_copy(update={"denoiser": None}))})
    assert read_spec(spec.to_json()) == spec
    with refuses("E-SPEC-004", match=r"models\.denoiser"):
        read_spec(mixed.to_json())
