"""A data set, a classifier and a run whose every name is hostile, through every verb: names stay names."""

import csv
import io
import json
import os
import shutil
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from smoothcert.cli import main
from smoothcert.formats.card import Card
from smoothcert.models.checkpoints import save_weights
from smoothcert.models.resnet import build

pytestmark = pytest.mark.slow

NAMES = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(2)>",
    '=HYPERLINK("http://x.invalid","a")',
    "|a|`b`*c*_d_[e](javascript:alert(3))",
    "\x1b[2J\x1b]0;owned\x07",
    "\u202egnorw\u2066",
    r"\input{/etc/passwd} $x^2$ %",
    '#panic("t") #read("/etc/passwd") @x <y>',
)
IMAGES = 8
MARKS = ("alert(1)", "alert(2)", "alert(3)", "HYPERLINK")


def written(folder: Path) -> dict[str, str]:
    """Images in files, a manifest, and weights, all with hostile names; what `certify` is to be told."""
    import torch

    home = folder / "=1+1 <b>$(touch owned)`touch owned` 血"
    (home / "<u>").mkdir(parents=True)
    rng = np.random.default_rng(0)
    rows = []
    for i in range(IMAGES):
        name = f"{i}{NAMES[i].replace('/', '_')}.png"
        Image.fromarray(rng.integers(0, 256, (12, 12, 3), dtype=np.uint8)).save(home / "<u>" / name)
        rows.append([f"<u>/{name}", NAMES[i], f"{NAMES[i]}#{i // 2}", NAMES[-1 - i], NAMES[i % 3]])
    with (home / "=set.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["path", "label", "group", "=cmd|'/C_calc'!A0", "<b>site</b>"], *rows])
    torch.manual_seed(0)
    names = tuple(sorted(NAMES))
    card = Card(arch="resnet8", num_classes=len(names), in_channels=3, class_names=names, sigma=0.25)
    save_weights(build("resnet8", len(names), 3).eval(), card, home / "<i>@net.safetensors")
    return {"home": str(home), "data": str(home / "=set.csv"), "model": str(home / "<i>@net.safetensors")}


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str], list[tuple[str, str, str]]]:
    """The run, what it was told, and what each verb printed."""
    pytest.importorskip("typst", reason="needs the extra report")
    told = written(tmp_path_factory.mktemp("hostile"))
    run = Path(told["home"]) / "run <b>&amp;|"
    common = ["--model", told["model"], "--data", told["data"]]
    settings = "--sigma 0.25 --n0 20 --n-max 100 --radius 0.1,0.2 --k 1,2 --seed 3 --batch-size 32 --device cpu"
    columns = ["--subgroup", "=cmd|'/C_calc'!A0", "--subgroup", "<b>site</b>"]
    bundle, images = (str(Path(told["home"]) / name) for name in ("=bundle", "<u>"))
    verbs = [
        ["check", *common, "--sigma", "0.25"],
        ["certify", *common, *settings.split(), *columns, "--out", str(run)],
        ["status", str(run)],
        *(["table", str(run), "--format", form] for form in ("md", "csv", "tex", "json")),
        ["report", str(run), "--no-live"],
        ["verify", str(run)],
        ["bundle", str(run), "--sigma", "0.25", "--out", bundle],
        ["predict", bundle, images, "--device", "cpu", "--out", str(Path(told["home"]) / "answers.csv")],
        ["predict", bundle, images, "--device", "cpu"],
    ]
    return run, told, [(verb[0], *said(verb)) for verb in verbs]


def said(verb: list[str]) -> tuple[str, str]:
    """What a verb prints; it must not refuse."""
    out, err = io.StringIO(), io.StringIO()
    before, (sys.stdout, sys.stderr) = (sys.stdout, sys.stderr), (out, err)
    try:
        with pytest.raises(SystemExit) as left:
            main(verb)
    finally:
        sys.stdout, sys.stderr = before
    assert left.value.code in (0, 1), (verb, err.getvalue()[-2000:])
    return out.getvalue(), err.getvalue()


def test_nothing_moves_the_cursor_or_turns_letters_round(hostile):
    for verb, *texts in hostile[2]:
        for line in "".join(texts).split("\n"):
            assert line.replace("\t", "").isprintable(), (verb, line[:200])


def test_nothing_was_run(hostile):
    run = hostile[0]
    assert not list(run.parents[1].rglob("owned*"))
    assert not Path("owned").exists()


def test_tables_hold_no_formula(hostile):
    run, told, _ = hostile
    places = [*(run / "results").rglob("*.csv"), Path(told["home"]) / "answers.csv"]
    assert len(places) > 5
    for place in places:
        for row in csv.reader(io.StringIO(place.read_text(encoding="utf-8"))):
            for entry in row:
                assert entry.isprintable(), (place.name, entry)
                assert not entry.startswith(("=", "@", "+")), (place.name, entry)


class Tags(HTMLParser):
    """Every tag and attribute of a page, and the text of its scripts."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


@pytest.mark.parametrize("name", ["report.html"])
def test_pages_hold_no_foreign_tag(hostile, name):
    found = Tags()
    found.feed((hostile[0] / "results" / name).read_text(encoding="utf-8"))
    assert [tag for tag, _ in found.tags].count("script") == 2
    assert not {"img", "b", "i"} & {tag for tag, _ in found.tags}
    for tag, attributes in found.tags:
        assert not [each for each in attributes if each.startswith("on")], tag
        assert not (attributes.get("href") or "").startswith(("javascript:", "data:text"))


def test_the_notebook_shows_names_as_text(hostile):
    notebook = json.loads((hostile[0] / "results" / "notebook.ipynb").read_text(encoding="utf-8"))
    for entry in notebook["cells"]:
        if entry["cell_type"] == "code":  # names are read from the run, never written into code
            assert not any(mark in "".join(entry["source"]) for mark in MARKS)
        for output in entry.get("outputs", ()):
            page = Tags()
            page.feed("".join(output.get("data", {}).get("text/html", "")))
            assert not {"script", "img"} & {tag for tag, _ in page.tags}


def test_the_memo_shows_names_as_text(hostile):
    pypdf = pytest.importorskip("pypdf")
    pages = [page.extract_text() for page in pypdf.PdfReader(hostile[0] / "results" / "memo.pdf").pages]
    assert len(pages) == 4
    assert "root:" not in "".join(pages)  # neither \input nor #read was followed


def test_markdown_and_latex_keep_their_shape(hostile):
    for place in [*(hostile[0] / "results").rglob("*.md")]:
        for line in place.read_text(encoding="utf-8").splitlines():
            assert "<script" not in line.replace("\\<", "")
            assert "<img" not in line.replace("\\<", "")
    for place in (hostile[0] / "results").rglob("*.tex"):
        assert "\\input{" not in place.read_text(encoding="utf-8")


def test_a_name_that_is_no_text_is_refused_at_the_door(tmp_path, capsys):
    """A folder whose name is not UTF-8 would become a class that no spec.json can hold."""
    root = bytes(tmp_path) + b"/set"
    for name in (b"a", b"\xff"):
        (Path(tmp_path) / "set").mkdir(exist_ok=True)
        os.mkdir(root + b"/" + name)
        Image.fromarray(np.zeros((4, 4), np.uint8)).save(tmp_path / "x.png")
        shutil.copy(os.fsencode(tmp_path / "x.png"), root + b"/" + name + b"/x.png")
    with pytest.raises(SystemExit) as left:
        main(["certify", "--model", "demo", "--data", f"{tmp_path}/set", "--out", f"{tmp_path}/run"])
    assert left.value.code == 2
    assert "is not Unicode text; rename it" in " ".join(capsys.readouterr().err.split())
