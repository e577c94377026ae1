"""A bundle directory: every byte is checked, and every way not to be the certified object has a name."""

import hashlib
import json
import re
import shutil
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from factories import (
    DENOISER,
    DENOISER_FACTS,
    WEIGHTS,
    SealedRun,
    certified_facts,
    denoiser_facts,
    make_bundle,
    make_spec,
    with_denoiser,
    with_weights,
)
from refusals import refuses
from smoothcert.errors import EvidenceError
from smoothcert.evidence.bundle.differences import certified_of, differences, tie_of
from smoothcert.evidence.bundle.files import bundle_faults, read_bundle, readme, write_bundle
from smoothcert.evidence.bundle.record import Bundle

FILES = ("README.md", "SHA256SUMS", "bundle.json", "weights.safetensors")
SPEC = with_weights(make_spec(sigma="0.25,0.5"))
DENOISED = with_denoiser(SPEC)


@pytest.fixture
def folder(tmp_path):
    write_bundle(tmp_path / "b", make_bundle(SPEC), WEIGHTS)
    return tmp_path / "b"


@pytest.fixture
def denoised(tmp_path):
    """A bundle with a denoiser."""
    write_bundle(tmp_path / "d", make_bundle(DENOISED), WEIGHTS, DENOISER)
    return tmp_path / "d"


def resum(folder):
    """Write SHA256SUMS anew, as somebody with a change to hide would."""
    names = sorted(path.name for path in folder.iterdir() if path.name != "SHA256SUMS")
    lines = [f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()}  {name}\n" for name in names]
    (folder / "SHA256SUMS").write_text("".join(lines))


def edit(folder, change):
    record = json.loads((folder / "bundle.json").read_text())
    change(record)
    (folder / "bundle.json").write_text(json.dumps(record))
    resum(folder)


def test_what_is_written_is_read(folder):
    assert read_bundle(folder) == make_bundle(SPEC)
    assert (folder / "weights.safetensors").read_bytes() == WEIGHTS
    assert sorted(path.name for path in folder.iterdir()) == sorted(FILES)
    assert list(bundle_faults(folder)) == []
    assert sorted(path.name for path in folder.parent.iterdir()) == ["b"]


def test_sha256sum_agrees(folder):
    command = shutil.which("sha256sum")
    if command is None:
        pytest.skip("needs sha256sum")
    done = subprocess.run([command, "-c", "SHA256SUMS"], cwd=folder, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count(": OK") == 3


@pytest.mark.parametrize("name", FILES)
def test_a_changed_file_is_named(folder, name):
    data = bytearray((folder / name).read_bytes())
    for place in (0, len(data) // 2, len(data) - 1):
        changed = bytearray(data)
        changed[place] ^= 1
        (folder / name).write_bytes(bytes(changed))
        with refuses("E-RUN-016") as refused:
            read_bundle(folder)
        assert str(refused.value).count("\n") == 0
        if name != "SHA256SUMS":
            assert f"{name} was changed: its hash is not the one in SHA256SUMS" in str(refused.value)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("how", ["missing", "empty", "a folder", "cut", "longer"])
def test_a_missing_or_cut_file_is_named(folder, name, how):
    data = (folder / name).read_bytes()
    (folder / name).unlink()
    if how == "a folder":
        (folder / name).mkdir()
    elif how != "missing":
        (folder / name).write_bytes({"empty": b"", "cut": data[:-5], "longer": data + b"\n"}[how])
    wanted = {"missing": "is missing", "a folder": "is not a file"}.get(how, "was changed")
    with refuses("E-RUN-016", match=f"{name} {wanted}"):
        read_bundle(folder)


def test_an_added_file_is_named(folder):
    for name in ("notes.txt", ".DS_Store", "a\nb"):
        (folder / name).touch()
        with refuses("E-RUN-016", match=re.escape(json.dumps(name)) + " was added"):
            read_bundle(folder)
        (folder / name).unlink()
    (folder / "more").mkdir()
    assert list(bundle_faults(folder)) == ['"more" was added']


def test_every_fault_is_found_at_once(folder):
    (folder / "README.md").write_text("other")
    (folder / "weights.safetensors").unlink()
    (folder / "x").touch()
    assert [fault.split(":")[0] for fault in bundle_faults(folder)] == [
        "weights.safetensors is missing",
        '"x" was added',
        "README.md was changed",
    ]


SUMS = {
    "a line too few": lambda text: text.split("\n", 1)[1],
    "a line too many": lambda text: text + text.splitlines()[0] + "\n",
    "another name": lambda text: text.replace("README.md", "../README.md"),
    "no line end": lambda text: text.rstrip("\n"),
    "not hexadecimal": lambda text: "x" + text[1:],
    "binary mode": lambda text: text.replace("  ", " *"),
    "nothing": lambda _: "",
}


@pytest.mark.parametrize("change", SUMS)
def test_strange_sums_are_refused(folder, change):
    path = folder / "SHA256SUMS"
    path.write_text(SUMS[change](path.read_text()))
    with refuses("E-RUN-016", match="SHA256SUMS was changed"):
        read_bundle(folder)


RECORDS = {
    "no JSON": ("{", "is not valid|expected|Invalid"),
    "not an object": ("[]", "bundle.json of format 1"),
    "another format": ({"format": 2}, "format"),
    "a field too many": ({"seed": 7}, "seed: there is no such setting"),
    "sigma in grey levels": ({"sigma": 64}, "sigma: expected a noise level above 0 and at most 4, got 64"),
    "no sigma": ({"sigma": None}, "sigma"),
    "sigma not a number": ({"sigma": float("nan")}, "sigma|JSON|finite"),
    "another grid": ({"levels": 256}, "levels"),
    "no pixels": ({"shape": [3, 0, 28]}, "shape"),
    "one class": ({"class_names": ["a"]}, "class_names: expected 2 class names or more, got 1"),
    "std of zero": ({"std": [0.0], "mean": [0.0]}, "std: expected one finite number per channel"),
    "two means": ({"mean": [0.5, 0.5]}, "mean: expected one finite number per channel"),
    "no copies": ({"n": 0}, "n: expected a whole number from 1 to 10,000,000, got 0"),
    "alpha of one": ({"alpha": 1}, "alpha: expected a probability"),
    "no certificate facts": ({"certified": {}}, "certified"),
}


@pytest.mark.parametrize("case", RECORDS)
def test_a_record_that_is_none_is_refused_though_its_hash_fits(folder, case):
    change, sentence = RECORDS[case]
    if isinstance(change, str):
        (folder / "bundle.json").write_text(change)
        resum(folder)
    else:
        edit(folder, lambda record: record.update(change))
    with refuses("E-RUN-016", match=sentence) as refused:
        read_bundle(folder)
    assert "bundle.json was changed" in str(refused.value)
    assert "pydantic" not in str(refused.value)


def test_weights_that_the_record_does_not_name_are_refused(folder):
    (folder / "weights.safetensors").write_bytes(WEIGHTS + b"!")
    resum(folder)
    with refuses("E-RUN-016", match="it is not the file that"):
        read_bundle(folder)


def test_a_denoiser_is_a_file_and_a_key(denoised, folder):
    assert read_bundle(denoised) == make_bundle(DENOISED)
    assert sorted(path.name for path in denoised.iterdir()) == sorted((*FILES, "denoiser.safetensors"))
    assert "denoiser" not in (folder / "bundle.json").read_text()
    assert "denoiser" not in (folder / "README.md").read_text()
    page = " ".join((denoised / "README.md").read_text().split())
    assert "the pipeline of the denoiser in `denoiser.safetensors` and the network in `weights.safetensors`" in page
    assert "What is certified is this pipeline, not the network alone." in page
    assert "add `--denoiser package.module:factory`" in page


def without_denoiser(record):
    del record["denoiser_file"], record["model"]["denoiser"]


CHANGED = {
    "missing": (lambda d: (d / "denoiser.safetensors").unlink(), "denoiser.safetensors is missing"),
    "changed": (lambda d: (d / "denoiser.safetensors").write_bytes(b"x"), "denoiser.safetensors was changed: its hash"),
    "a folder": (lambda d: [(d / "denoiser.safetensors").unlink(), (d / "denoiser.safetensors").mkdir()], "not a file"),
    "replaced": (
        lambda d: [(d / "denoiser.safetensors").write_bytes(b"x"), resum(d)],
        "denoiser.safetensors was changed: it is not the file that bundle.json names",
    ),
    "taken away": (
        lambda d: [(d / "denoiser.safetensors").unlink(), resum(d)],
        "denoiser.safetensors is missing",
    ),
    "not in the record": (lambda d: edit(d, without_denoiser), "denoiser.safetensors was added: bundle.json names no"),
    "half in the record": (lambda d: edit(d, lambda r: r.pop("denoiser_file")), "denoiser_file: expected it with a"),
    "strange range": (
        lambda d: edit(d, lambda r: r["denoiser_file"].update(value_range=[1.0, -1.0])),
        "value_range: expected two numbers, the lower first",
    ),
}


@pytest.mark.parametrize("case", CHANGED)
def test_a_changed_denoiser_is_named(case, denoised):
    change, words = CHANGED[case]
    change(denoised)
    with refuses("E-RUN-016", match=words):
        read_bundle(denoised)


def test_an_added_denoiser_is_named(folder):
    (folder / "denoiser.safetensors").write_bytes(DENOISER)
    with refuses("E-RUN-016", match="denoiser.safetensors was added"):
        read_bundle(folder)
    resum(folder)
    with refuses("E-RUN-016", match="denoiser.safetensors was added: bundle.json names no denoiser"):
        read_bundle(folder)


def test_nothing_is_overwritten_and_nothing_left_half(folder, tmp_path, monkeypatch):
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with refuses("E-RUN-033"):
        write_bundle(folder, make_bundle(SPEC), b"")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    (tmp_path / "file").touch()
    for place in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(EvidenceError):
            write_bundle(place, make_bundle(SPEC), WEIGHTS)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_bytes", full)
    with refuses("E-RUN-015"):
        write_bundle(tmp_path / "new", make_bundle(SPEC), WEIGHTS)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b", "file"]


@pytest.mark.parametrize("place", ["none", "file", "empty"])
def test_a_place_without_a_bundle_is_refused(tmp_path, place):
    (tmp_path / "file").touch()
    (tmp_path / "empty").mkdir()
    with refuses("E-RUN-018"):
        read_bundle(tmp_path / place)


# ---- is it what the run certified?

DIFFERENT = {
    "weights": ("model", lambda m: m.model_copy(update={"sha256": "sha256:" + "9" * 64}), "weights are sha256:9999"),
    "architecture": ("model", lambda m: m.model_copy(update={"arch": "resnet8"}), 'architecture is "resnet8"'),
    "noise": ("noise", lambda _: "float", 'noise is "float", certified: "grid"'),
    "grid": ("levels", lambda _: 4095, "grid is 4095, certified: 255"),
    "shape": ("shape", lambda _: (3, 28, 29), r"image shape is \[3, 28, 29\], certified: \[3, 28, 28\]"),
    "preprocessing": ("preprocessing", lambda _: ("quantised to 8 bits",), r"preprocessing is \[\"quantised to 8"),
    "mean": ("mean", lambda _: (0.5,), r"normalisation mean is \[0.5\], certified: \[\]"),
    "std": ("std", lambda _: (0.5,), r"normalisation std is \[0.5\]"),
    "class name": ("class_names", lambda n: ("a", "x", "c", "d"), 'class 1 is "x", certified: "b"'),
    "class order": ("class_names", lambda n: n[::-1], 'class 0 is "d", certified: "a"'),
    "class count": ("class_names", lambda n: n[:3], "there are 3 class names, certified: 4"),
    "precision": ("recipe", lambda r: r.model_copy(update={"precision": "bf16"}), 'recipe: precision is "bf16", cert'),
    "batch": ("recipe", lambda r: r.model_copy(update={"batch_size": 8}), "recipe: batch size is 8, certified: 512"),
    "folded": ("recipe", lambda r: r.model_copy(update={"folded": True}), "recipe: folded is true, certified: fal"),
    "torch": ("recipe", lambda r: r.model_copy(update={"torch": "3.0"}), 'recipe: torch is "3.0"'),
}


@pytest.mark.parametrize("part", DIFFERENT)
def test_every_difference_has_its_words(part):
    name, change, words = DIFFERENT[part]
    bundle = make_bundle(SPEC)
    other = bundle.model_copy(update={name: change(getattr(bundle, name))})
    (said,) = differences(other, SPEC)
    assert re.match(words, said)
    assert said.isascii()


OTHER_DENOISER = {
    "sha256": ("sha256:" + "9" * 64, "denoiser weights are sha256:9999"),
    "arch": ("unet-s", 'denoiser: architecture is "unet-s", certified: null'),
    "trained_low": (0.1, "denoiser: lowest trained sigma is 0.1"),
    "trained_sigma": (0.75, "denoiser: highest trained sigma is 0.75"),
    "adapted": ((), r'denoiser: adaptation is \[\], certified: \["images from -1 to 1"\]'),
    "source_sha256": ("sha256:" + "9" * 64, 'denoiser: source is "sha256:9999'),
    "state_sha256": (None, "denoiser: state is null"),
}


@pytest.mark.parametrize("part", OTHER_DENOISER)
def test_every_difference_of_a_denoiser_has_its_words(part):
    value, words = OTHER_DENOISER[part]
    bundle = make_bundle(with_denoiser(SPEC, DENOISER_FACTS.model_copy(update={part: value})))
    (said,) = differences(bundle, DENOISED)
    assert re.match(words, said)


def test_every_field_of_a_denoiser_but_its_paths_is_compared():
    assert {*OTHER_DENOISER, "reference", "weights"} == set(type(DENOISER_FACTS).model_fields)


def test_a_denoiser_too_many_or_too_few_is_a_difference():
    assert differences(make_bundle(DENOISED), DENOISED) == ()
    (said,) = differences(make_bundle(SPEC), DENOISED)
    assert re.fullmatch(r"denoiser is none, certified: sha256:\w+\.\.\.", said)
    (said,) = differences(make_bundle(DENOISED), SPEC)
    assert re.fullmatch(r"denoiser is sha256:\w+\.\.\., certified: none", said)


def test_an_equal_object_has_no_difference_and_sigma_is_one():
    for sigma in (0.25, 0.5):
        assert differences(make_bundle(SPEC, sigma), SPEC) == ()
    other = make_bundle(SPEC).model_copy(update={"sigma": 1.0})
    assert differences(other, SPEC) == ("sigma is 1, certified: 0.25 and 0.5",)
    single = with_weights(make_spec(sigma="0.25"))
    assert differences(other.model_copy(update={"levels": 4095}), single) == (
        "sigma is 1.0, certified: 0.25",
        "grid is 4095, certified: 255",
    )


def test_every_field_that_makes_the_object_is_compared():
    """A field added to the record later must not be forgotten in the comparison."""
    from smoothcert.evidence.bundle.record import Facts

    assert {name for name, _, _ in DIFFERENT.values()} | {"sigma"} == set(Facts.model_fields)


def test_what_a_run_certified_is_taken_from_its_spec():
    found = certified_facts(SPEC, 0.5)
    assert (found.sigma, found.images, found.spec_sha256) == (0.5, 5, SPEC.sha256())
    assert (found.data, found.k, found.n_max, found.alpha) == ("d.npz", (1,), 200, 0.001)
    with refuses("E-SPEC-002"):
        certified_of(SealedRun(None, SPEC, None), 0.3)


def test_ties_of_weights():
    model = make_bundle(SPEC).model
    assert tie_of(WEIGHTS, model) == "same file"
    assert tie_of(b"other", model) == "other weights"
    for name in ("w.pt", "W.PTH", "w.bin", "w.ckpt", "w.tar", "net.pt2"):
        old = model.model_copy(update={"weights": name})
        assert tie_of(b"other", old) == "not known"
        assert tie_of(b"other", old.model_copy(update={"state_sha256": "sha256:" + "0" * 64})) == "other weights"
    for name in ("w.safetensors", None):
        assert tie_of(b"other", model.model_copy(update={"weights": name})) == "other weights"
    deep = b"[" * 100_000
    assert tie_of(len(deep).to_bytes(8, "little") + deep, model) == "other weights"


# ---- texts from elsewhere

HOSTILE = ("=cmd()", "a\n# b", "```\n<script>", "\x1b[31mred", "| x |", "\u202egnp", "[/]", "\u0000", "\x7f")


@given(st.lists(st.text() | st.sampled_from(HOSTILE), min_size=4, max_size=4), st.text())
def test_hostile_texts_are_inert(names, data):
    spec = with_weights(make_spec())
    facts = spec.data.model_copy(update={"class_names": tuple(names), "reference": data, "preprocessing": (names[0],)})
    bundle = make_bundle(spec.model_copy(update={"data": facts}))
    assert Bundle.from_json(bundle.to_json()) == bundle
    assert bundle.to_json().isascii()
    page = readme(bundle)
    assert page.isascii()
    assert all(line.isprintable() for line in page.split("\n"))
    plain = readme(make_bundle(spec)).split("\n")
    assert [line for line in page.split("\n") if line.startswith("#")] == [x for x in plain if x.startswith("#")]
    assert len(page.split("\n")) == len(plain)
    prose = [line for line in page.split("\n") if not line.startswith("    ")]
    assert sum(line.count("`") for line in prose) == sum(line.count("`") for line in plain if line[:4] != "    ") + 2


def test_the_page_says_what_it_must(folder):
    page = " ".join((folder / "README.md").read_text().split())
    for words in (
        "Treat an abstention as a result",
        "fresh secret noise at each call",
        "the certificates hold for the classifier with its recipe (fp32, batches of 512, cpu, torch 2.11.0)",
        "They are not a signature",
        "Certified by a run over 5 images",
        "add `--model package.module:factory`",
    ):
        assert words in page
    assert "--model" not in _page(arch="resnet8")
    assert "No certification run is recorded" in _page(certified=None)


def test_the_page_of_a_pipeline_speaks_of_it():
    plain = make_bundle(SPEC)
    model = plain.model.model_copy(update={"denoiser": denoiser_facts("d.safetensors")})
    page = readme(plain.model_copy(update={"model": model}))
    assert "the certificates hold for the pipeline with its recipe" in " ".join(page.split())
    assert all(len(line) <= 120 for line in page.split("\n") if line.startswith("* Anything"))


def _page(**changed):
    arch = changed.pop("arch", None)
    bundle = make_bundle(SPEC, **changed)
    return readme(bundle.model_copy(update={"model": bundle.model.model_copy(update={"arch": arch})}))
