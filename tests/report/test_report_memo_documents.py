"""The document check, and the mutations: each is caught, by verify or here, with a message of its own."""

import json
import re
import shutil

import pytest

from report.memo_runs import CRITERIA, FULL, PRIMARY, memo_run
from smoothcert.evidence import RunDirectory, open_run
from smoothcert.evidence.events import LOCKED, append_event
from smoothcert.report.documents import check_documents
from smoothcert.report.documents.memo import differences
from smoothcert.report.figures import write_figures
from smoothcert.report.memo import FIELDS, build, make_memo, make_sponsor, write_memo
from smoothcert.report.write import log_documents
from smoothcert.stats.rounding import format_up
from smoothcert.verify import verify

pytest.importorskip("typst")
pypdf = pytest.importorskip("pypdf")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("documents") / "run"
    run = memo_run(folder, images=12, primary=PRIMARY, criteria=CRITERIA)
    files = write_memo(run, run.directory.results, make_sponsor(FULL))
    stated = make_sponsor(FULL).of(run)
    log_documents(run.directory, [*files, *write_figures(stated, run.directory.results / "figures")])
    return folder


@pytest.fixture
def copy(finished, tmp_path):
    return shutil.copytree(finished, tmp_path / "run")


def edit(path, change):
    record = json.loads(path.read_text())
    change(record)
    path.write_text(json.dumps(record, indent=1, sort_keys=True) + "\n")


def edit_lines(run, change):
    path = run / "ledger" / "local-0.jsonl"
    records = [json.loads(line) for line in path.read_text().splitlines()]
    change(records)
    path.write_text("".join(json.dumps(record) + "\n" for record in records))


def changed_count(run):
    def one_more(records):
        n, votes = records[0]["looks"][-1]
        label = str(records[0]["label"])
        records[0]["looks"][-1] = [n, {**votes, label: votes.get(label, 0) + 1}]

    edit_lines(run, one_more)


def swapped_labels(run):
    def swap(records):
        records[0]["label"], records[1]["label"] = records[1]["label"], records[0]["label"]

    edit_lines(run, swap)


def deleted_abstention(run):
    def drop(records):
        del records[3]

    edit_lines(run, drop)


def another_alpha(run):
    edit(run / "spec.json", lambda spec: spec["request"].update(alpha=0.01))


def reordered_log(run):
    path = run / "events.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join([lines[0], lines[2], lines[1], *lines[3:]]))


def replaced_spec(run):
    """Another spec, and a log forged anew so that it vouches for it."""
    edit(run / "spec.json", lambda spec: spec["data"].update(class_counts=[4, 4, 2, 2]))
    directory = RunDirectory(run)
    events = directory.read_events()
    directory.events.unlink()
    for event in events:
        facts = {"spec_sha256": directory.read_spec().sha256()} if event.event == LOCKED else {}
        append_event(directory.events, event.event, **{**event.facts, **facts})


def forged_pdf(run, page, old, new):
    """The memo's PDF, set anew with one string of a page changed."""
    opened = open_run(run)
    memo = make_memo(opened, make_sponsor(FULL))
    text = json.dumps([build.record(block) for block in memo.pages[page]])
    assert text.count(old) >= 1
    changed = json.loads(text.replace(old, new, 1))

    def sheet(made, paper, honest=build._sheet):
        whole = honest(made, paper)
        whole["pages"][page] = changed
        return whole

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build, "_sheet", sheet)
        figure = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 86 80"/>'
        (run / "results" / "memo.pdf").write_bytes(build.typeset(memo, figure, "a4"))


def digit_in_the_pdf(run):
    share = make_memo(open_run(run), make_sponsor(FULL)).fields["cell_share"].printed
    wrong = f"{float(share) + 3.1:.1f}"
    forged_pdf(run, 0, f"{share} %. Of the", f"{wrong} %. Of the")


def immune_in_a_field(run):
    edit(run / "results" / FIELDS, lambda memo: memo["fields"]["device"].update(printed="immune"))


def immune_in_the_pdf(run):
    forged_pdf(run, 3, "Their evaluation belongs", "The classifier is immune. Their evaluation belongs")


def rounded_up(run):
    def up(memo):
        field = memo["fields"]["cell_bound"]
        field["printed"] = format_up(100 * field["value"], 1)

    edit(run / "results" / FIELDS, up)


def rounded_up_in_a_table(run):
    def up(memo):
        table = memo["tables"]["results"]
        at = table["headings"].index("population ≥ % if independent")
        table["rows"][0][at] = format_up(100 * table["records"][0]["population"], 1)

    edit(run / "results" / FIELDS, up)


def fewer_pages(run):
    path = run / "results" / "memo.pdf"
    reader, writer = pypdf.PdfReader(path), pypdf.PdfWriter()
    for page in reader.pages[:3]:
        writer.add_page(page)
    writer.write(path)


def figure_number(run):
    edit(
        run / "results" / "figures" / "figure_data.json", lambda data: data["curves"][0]["grid"][0].update(certified=-1)
    )


def other_results(run):
    edit(run / "results" / "results.json", lambda results: results["cells"][0].update(certified=-1))


def swapped_words(run):
    forged_pdf(run, 3, "Another site", "Any other site")


BY_VERIFY = {
    changed_count: r"has \d+ votes, not \d+; a count was changed",
    swapped_labels: r"the labels are not those of the spec; a label was changed",
    deleted_abstention: r"lines were added or deleted",
    another_alpha: r"a setting was changed",
    reordered_log: r"the log was reordered or changed",
    replaced_spec: r"the class counts are not those of the spec",
    other_results: r"results/results.json does not follow from the votes: .*certified",
}
BY_DOCUMENTS = {
    digit_in_the_pdf: r"results/memo.pdf, page 1: the number [\d.]+ comes from no field, table or reviewed text",
    immune_in_a_field: r'memo_fields.json: device: the wording "immune" is refused: no classifier is',
    immune_in_the_pdf: r'results/memo.pdf: page 4: the wording "immune" is refused: no classifier is',
    rounded_up: r"cell_bound: printed '[\d.]+', the votes give '[\d.]+': a lower bound was rounded up",
    rounded_up_in_a_table: r"table results: row 1, population ≥ % if .*: a lower bound was rounded up",
    fewer_pages: r"results/memo.pdf has 3 pages, not 4",
    figure_number: r"figure_data.json: curves\[0\].grid.*certified does not follow from votes and log",
    swapped_words: r"results/memo.pdf, page 4: the text near '.*Anyothersite.*' is not that of the memo",
}


def test_an_honest_run_passes(copy):
    assert verify(copy).faults == ()
    assert check_documents(open_run(copy)).faults == ()


@pytest.mark.parametrize("mutate", BY_VERIFY, ids=lambda each: each.__name__)
def test_mutations_of_the_evidence(copy, mutate):
    mutate(copy)
    assert any(re.search(BY_VERIFY[mutate], fault) for fault in verify(copy).faults)


@pytest.mark.slow
@pytest.mark.parametrize("mutate", BY_DOCUMENTS, ids=lambda each: each.__name__)
def test_mutations_of_the_documents(copy, mutate):
    mutate(copy)
    assert verify(copy).faults == ()
    told = check_documents(open_run(copy)).faults
    assert any(re.search(BY_DOCUMENTS[mutate], each) for each in told), told


def test_each_mutation_has_its_own_message():
    messages = [*BY_VERIFY.values(), *BY_DOCUMENTS.values()]
    assert len(set(messages)) == len(messages)


@pytest.fixture(scope="module")
def honest(finished):
    return json.loads((finished / "results" / FIELDS).read_text())


@pytest.mark.parametrize("part", ["printed", "value", "rule", "source"])
def test_any_change_of_any_field_is_found(honest, part):
    for name in honest["fields"]:
        written = json.loads(json.dumps(honest))
        written["fields"][name][part] = "otherwise"
        (told,) = differences(written, honest)
        assert told.startswith(f"{name}: {part} 'otherwise', the votes give")


def test_any_change_of_any_cell_is_found(honest):
    for name, table in honest["tables"].items():
        for row in range(len(table["rows"])):
            for column in range(len(table["headings"])):
                written = json.loads(json.dumps(honest))
                written["tables"][name]["rows"][row][column] = "otherwise"
                (told,) = differences(written, honest)
                assert told.startswith(f"table {name}: row {row + 1}, {table['headings'][column]}: printed 'otherwise'")


def test_a_field_more_and_a_field_less_are_found(honest):
    written = json.loads(json.dumps(honest))
    written["fields"]["extra"] = written["fields"].pop("cell_low")
    assert [*differences(written, honest)] == ["cell_low is missing", "extra is not a field of the memo"]


def test_without_pypdf_the_check_says_that_it_did_not_check(copy, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pypdf", None)
    found = check_documents(open_run(copy))
    assert found.faults == ()
    for name in ("memo.pdf", "memo-letter.pdf"):
        assert name not in found.held
        assert any(told.startswith(f"results/{name}") and "'.[report]'" in told for told in found.notes)


@pytest.mark.slow
@pytest.mark.parametrize("damage", [b"", b"%PDF-1.7 nonsense", b"\x00" * 100])
def test_a_damaged_pdf_is_a_fault_not_a_traceback(copy, damage):
    (copy / "results" / "memo.pdf").write_bytes(damage)
    assert any("results/memo.pdf cannot be read" in told for told in check_documents(open_run(copy)).faults)


@pytest.mark.parametrize("damage", ["", "[]", "{", '{"sponsor": 5}', '{"sponsor": {"devise": "x"}}'])
def test_a_damaged_field_file_is_a_fault_not_a_traceback(copy, damage):
    (copy / "results" / FIELDS).write_text(damage)
    assert any("memo_fields.json cannot be read" in told for told in check_documents(open_run(copy)).faults)


def test_a_pdf_whose_fields_are_gone_cannot_be_traced(copy):
    (copy / "results" / FIELDS).unlink()
    assert any("memo.pdf: its numbers cannot be traced" in told for told in check_documents(open_run(copy)).faults)


def test_no_documents_no_complaints(tmp_path):
    assert check_documents(memo_run(tmp_path / "run", images=4)).faults == ()


def test_a_memo_of_evidence_that_changed_afterwards_does_not_pass(copy):
    changed_count(copy)
    assert any("the votes give" in told for told in check_documents(open_run(copy)).faults)
