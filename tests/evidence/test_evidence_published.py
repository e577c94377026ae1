import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from factories import error_of
from refusals import refuses
from smoothcert.errors import EvidenceError
from smoothcert.formats.published import read_counts, read_log

HEAD = "idx\tlabel\tpredict\tradius\tcorrect\ttime\n"


def test_a_published_log(tmp_path):
    path = tmp_path / "log.tsv"
    path.write_text(HEAD + "0\t3\t3\t0.5\t1\t9\n20\t7\t-1\t0.0\t0\t9\n40\t1\t2\t0.9\t0\t9\n")
    log = read_log(path)
    assert (log.name, log.radius.tolist()) == ("log.tsv", [0.5, 0.0, 0.9])
    assert log.abstained.tolist() == [False, True, False]
    assert [log.certified(r) for r in (0.0, 0.5, 0.51)] == [1, 1, 0]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "Expected the tab-separated columns idx label"),
        ("a\tb\n1\t2\n", "Expected the tab-separated columns idx label"),
        (HEAD, "Expected at least one image"),
        (HEAD + "0\t3\t3\t0.5\t1\n", "Line 2 of .*expected 6 columns"),
        (HEAD + "0\t3\t3\t0.5\t1\t9\n0\t3\t3\twide\t1\t9\n", "Line 3 of"),
    ],
)
def test_a_log_that_is_something_else(tmp_path, text, reason):
    (tmp_path / "log.tsv").write_text(text)
    with pytest.raises(EvidenceError, match=reason):
        read_log(tmp_path / "log.tsv")


@given(st.lists(st.lists(st.integers(0, 10**9), min_size=4, max_size=4), min_size=1, max_size=5), st.data())
def test_counts_and_labels_come_back(tmp_path_factory, counts, data):
    labels = [data.draw(st.integers(0, 3)) for _ in counts]
    gap = data.draw(st.sampled_from([" ", ",", "\t", ", "]))
    path = tmp_path_factory.getbasetemp() / "counts.txt"
    path.write_text(
        "".join(gap.join(map(str, [*row, label])) + "\n" for row, label in zip(counts, labels, strict=True))
    )
    read, classes = read_counts(path)
    assert (read.tolist(), classes.tolist()) == (counts, labels)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "Expected class counts in .*found an empty file"),
        ("5 5 0\n5 x 0\n", "Line 2 of .*: expected whole numbers, got '5 x 0'"),
        ("5 5 0\n5 5 5 0\n", "Line 2 of .*: expected 2 counts of 0 or more, .* and then a label from 0 to 1"),
        ("5 5 2\n", "label from 0 to 1, got '5 5 2'"),
        ("5 -5 0\n", "Line 1 of"),
        ("5 0\n", "Line 1 of"),
        (",\n", "Line 1 of"),
        (f"{2**61} {2**61} {2**61} {2**61} 0\n", "Line 1 of"),
    ],
)
def test_counts_that_are_something_else(tmp_path, text, reason):
    (tmp_path / "counts.txt").write_text(text)
    with pytest.raises(EvidenceError, match=reason):
        read_counts(tmp_path / "counts.txt")


@pytest.mark.parametrize("read", [read_log, read_counts])
def test_missing_and_unreadable_files(tmp_path, read):
    with refuses("E-RUN-017"):
        read(tmp_path / "none")
    with refuses("E-RUN-017"):
        read(tmp_path)
    (tmp_path / "bytes").write_bytes(b"\xff\xfe\x00")
    with refuses("E-RUN-017"):
        read(tmp_path / "bytes")


numbers = st.text(alphabet="0123456789 -.,\n\t", max_size=60)


@settings(max_examples=200)
@given(st.sampled_from([read_log, read_counts]), st.binary(max_size=60) | numbers, st.booleans())
def test_hostile_bytes_are_refused_or_read(tmp_path_factory, read, data, with_head):
    path = tmp_path_factory.getbasetemp() / "hostile.txt"
    body = data.encode() if isinstance(data, str) else data
    path.write_bytes((HEAD.encode() if with_head else b"") + body)
    sentence = error_of(EvidenceError, read, path)
    assert sentence is None or str(path) in sentence
