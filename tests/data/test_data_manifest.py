"""Manifests: encodings, separators, classes, splits, and a message for every mistake."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from refusals import refuses
from smoothcert.data import DataOptions, load_images
from smoothcert.errors import DataError

RNG = np.random.default_rng(0)
FILES = {f"{name}.png": RNG.integers(0, 256, (4, 5), dtype=np.uint8) for name in "abcd"}


@pytest.fixture(autouse=True)
def pictures(tmp_path: Path) -> None:
    for name, array in FILES.items():
        Image.fromarray(array).save(tmp_path / name)


def manifest(folder: Path, text: str | bytes, name: str = "set.csv") -> str:
    (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(folder / name)


ROWS = [("path", "label", "group", "site"), ("c.png", "eos, mature", "p1", "A"), ("a.png", "mono", "p2", "")]


def rendered(separator: str = ",", end: str = "\n") -> str:
    return end.join(separator.join(f'"{value}"' for value in row) for row in ROWS) + end


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\n\n"])
@pytest.mark.parametrize("start", [b"", b"\xef\xbb\xbf"])
def test_one_table_in_many_writings(tmp_path: Path, separator: str, end: str, start: bytes) -> None:
    file = manifest(tmp_path, start + rendered(separator, end).encode())
    got = load_images(file, DataOptions(subgroups=("site",)))
    assert np.array_equal(got.images[..., 0], np.stack([FILES["c.png"], FILES["a.png"]]))
    assert (got.class_names, got.labels.tolist()) == (("eos, mature", "mono"), [0, 1])
    assert (got.groups, got.subgroups) == (("p1", "p2"), {"site": ("A", "not stated")})
    assert got.reference == file


def test_numbers_are_labels_and_every_split_has_the_same_classes(tmp_path: Path) -> None:
    file = manifest(tmp_path, "path,label,split\na.png,0,train\nb.png,7,train\nc.png,1,val\n")
    got = load_images(f"{file}#val")
    assert (got.labels.tolist(), got.num_classes, got.class_names[7]) == ([1], 8, "7")
    named = manifest(tmp_path, "path,label,split\na.png,z,train\nb.png,y,train\nc.png,z,val\n")
    assert load_images(f"{named}#val").labels.tolist() == [1]


def test_paths_may_lead_out_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "lists").mkdir()
    file = manifest(tmp_path / "lists", f"path,label\n../a.png,0\n{tmp_path}/b.png,1\n")
    assert np.array_equal(load_images(file).images[1, ..., 0], FILES["b.png"])


def test_parquet_reads_the_same(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    columns = {name: [row[i] or None for row in ROWS[1:]] for i, name in enumerate(ROWS[0])}
    columns["number"] = [3, 0]
    parquet.write_table(pa.table(columns), tmp_path / "set.parquet")
    asked = DataOptions(subgroups=("site",))
    got, same = load_images(f"{tmp_path}/set.parquet", asked), load_images(manifest(tmp_path, rendered()), asked)
    assert (got.sha256(), got.class_names) == (same.sha256(), same.class_names)
    number = pa.table({"path": columns["path"], "label": columns["number"]})
    parquet.write_table(number, tmp_path / "number.parquet")
    assert load_images(f"{tmp_path}/number.parquet").labels.tolist() == [3, 0]


def test_parquet_without_its_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with refuses("E-EXTRA-001", match="extra `report`"):
        load_images(manifest(tmp_path, b"PAR1", "set.parquet"))


SLIPS = {
    "no label column": ("path,class\na.png,0\n", "no column label; available: path, class"),
    "no path column": ("file,label\na.png,0\n", "no column path; available: file, label"),
    "no header": ("a.png,0\nb.png,1\n", "no column path"),
    "nothing": ("", "expected a first line of distinct column names"),
    "no rows": ("path,label\n", "the table has no rows"),
    "twice a column": ("path,label,label\na.png,0,0\n", "distinct column names, got 'path, label, label'"),
    "not UTF-8": ("path,label\na.png,é\n".encode("latin-1"), "not UTF-8 text; save it as CSV UTF-8"),
    "too few values": ("path,label\na.png,0\nb.png\n", "line 3: expected 2 values, got 1"),
    "too many values": ("path,label\na.png,eos, mature\n", "line 2: expected 2 values, got 3"),
    "open quotes": ('path,label\n"a.png,0\n', "not a valid CSV table"),
    "empty label": ("path,label\na.png,0\nb.png,\n", "line 3: the label is empty"),
    "empty path": ("path,label\n,0\n", "line 2: the path is empty"),
    "empty group": ("path,label,group\na.png,0,p\nb.png,0,\n", "line 3: the group is empty"),
    "fractions": ("path,label\na.png,0\nb.png,1.0\n", r"line 3: labels must be .*, got 1\.0"),
    "negative": ("path,label\na.png,0\nb.png,-1\n", "line 3: labels must be 0..c-1, got -1"),
    "huge": ("path,label\na.png,123456789\n", "label 123456789 is too large"),
    "twice a path": ("path,label\na.png,0\nb.png,0\n./a.png,1\n", r"lines 2 and 4 .* same file, \./a\.png"),
    "an address": ("path,label\nhttps://x.org/a.png,0\n", "line 2: https://x.org/a.png is a URL"),
    "missing files": (
        "path,label\nw.png,0\nx.png,0\ny.png,0\nz.png,0\na.png,1\n",
        r"4 of 5 files do not exist \(w\.png, x\.png, y\.png, z\.png\)",
    ),
    "which split": ("path,label,split\na.png,0,val\nb.png,0,test\n", r"val, test; choose one: set\.csv#val"),
    "a folder as file": ("path,label\n.,0\n", "1 of 1 files do not exist"),
}


@pytest.mark.parametrize("case", SLIPS)
def test_a_slip_has_its_own_sentence(tmp_path: Path, case: str) -> None:
    text, sentence = SLIPS[case]
    with pytest.raises(DataError, match=sentence) as refused:
        load_images(manifest(tmp_path, text))
    assert str(refused.value).startswith(f"{tmp_path}/set.csv: ")
    assert str(refused.value).endswith(".")


def test_splits_and_columns_that_are_not_there(tmp_path: Path) -> None:
    plain = manifest(tmp_path, "path,label\na.png,0\n")
    with refuses("E-DATA-071", match="split"):
        load_images(f"{plain}#val")
    with refuses("E-DATA-071", match="sex"):
        load_images(plain, DataOptions(subgroups=("sex",)))
    split = manifest(tmp_path, "path,label,split\na.png,0,train\n")
    assert len(load_images(split)) == 1
    with refuses("E-DATA-088"):
        load_images(f"{split}#val")


def test_files_that_are_no_tables(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    with refuses("E-DATA-079"):
        load_images(manifest(tmp_path, b"PAR1 nonsense", "set.parquet"))
    with refuses("E-DATA-072", match="no such file"):
        load_images(f"{tmp_path}/none.csv")
    (tmp_path / "folder.csv").mkdir()
    with refuses("E-DATA-072", match="folder"):
        load_images(f"{tmp_path}/folder.csv")
