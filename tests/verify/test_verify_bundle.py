"""The deployment check: a bundle is what a run certified, or each difference is named; it needs no torch."""

import dataclasses
import hashlib
import json
import shutil
import struct
import subprocess
import sys
from importlib.metadata import version

import pytest

import factories
from factories import DENOISER, DENOISER_FACTS, DENOISER_FILE, WEIGHTS, WEIGHTS_SHA256, simulate_run
from refusals import refuses
from smoothcert.evidence import open_run
from smoothcert.evidence.bundle import files
from smoothcert.evidence.bundle.differences import certified_of
from smoothcert.evidence.bundle.files import SUMMED, file_sha256, write_bundle
from smoothcert.evidence.bundle.record import Bundle, Facts
from smoothcert.formats.card import ONE_STEP
from smoothcert.verify import verify_bundle

model_of = factories.model_facts


def tensors(name="w"):
    """A safetensors file of one tensor, by hand."""
    data = struct.pack("<2f", 1.0, -2.0)
    head = json.dumps({name: {"dtype": "F32", "shape": [2], "data_offsets": [0, len(data)]}}).encode()
    return struct.pack("<Q", len(head)) + head + data


STATE = f"sha256:{hashlib.sha256(b'w torch.float32 (2,)' + bytes([10]) + struct.pack('<2f', 1.0, -2.0)).hexdigest()}"


@pytest.fixture
def certified(tmp_path, monkeypatch):
    """A sealed run over given weights, and how it names them."""

    def make(sha256=WEIGHTS_SHA256, weights=None, drop=0, state=STATE, denoiser=None):
        changed = {"sha256": sha256, "weights": weights, "state_sha256": state, "denoiser": denoiser}
        monkeypatch.setattr(factories, "model_facts", lambda *a: model_of(*a).model_copy(update=changed))
        settings = {} if denoiser is None else {"denoiser": denoiser.reference}
        path = simulate_run(tmp_path / f"run{len(list(tmp_path.iterdir()))}", drop=drop, **settings)
        return open_run(path)

    return make


def bundle_of(run, path, weights=WEIGHTS, denoiser=None, **changed):
    origin = certified_of(run, 0.25)
    facts = {name: getattr(origin, name) for name in Facts.model_fields}
    usual = {
        "smoothcert": "0.1.0",
        "file_sha256": f"sha256:{hashlib.sha256(weights).hexdigest()}",
        "n": 1000,
        "alpha": 0.001,
        "n0": 100,
        "bound": "rankcp",
        "certified": origin,
    }
    if denoiser is not None:
        sha256 = f"sha256:{hashlib.sha256(denoiser).hexdigest()}"
        usual["denoiser_file"] = DENOISER_FILE.model_copy(update={"sha256": sha256})
    write_bundle(path, Bundle(**{**facts, **usual, **changed}), weights, denoiser)
    return path


TIES = {
    "the file": (WEIGHTS_SHA256, None, WEIGHTS, "byte for byte"),
    "the tensors": (STATE, None, tensors(), "the tensors the run certified"),
    "a state dict": ("sha256:" + "a" * 64, "w.pt", tensors(), "the tensors the run certified"),
}


def test_each_file_is_hashed_once_for_its_sum(certified, tmp_path, monkeypatch):
    run, hashed = certified(), []
    path = bundle_of(run, tmp_path / "b")
    monkeypatch.setattr(files, "file_sha256", lambda file: hashed.append(file.name) or file_sha256(file))
    assert verify_bundle(run, path).passed
    assert tuple(sorted(hashed)) == SUMMED


@pytest.mark.parametrize("case", TIES)
def test_the_certified_object_passes(case, certified, tmp_path):
    sha256, name, weights, words = TIES[case]
    run = certified(sha256, name)
    report = verify_bundle(run, bundle_of(run, tmp_path / "b", weights))
    assert (report.passed, report.faults, report.sigma, report.named) == (True, (), 0.25, True)
    assert words in report.weights


@pytest.mark.parametrize("name", ["w.pt", "w.pth", "w.bin", "w.ckpt", "w.tar", "net.pt2"])
def test_other_weights_than_those_of_a_state_dict_are_named(name, certified, tmp_path):
    run = certified("sha256:" + "a" * 64, name)
    report = verify_bundle(run, bundle_of(run, tmp_path / "b", tensors("v")))
    assert (report.passed, report.tied, len(report.faults)) == (False, False, 1)


def test_a_run_without_a_hash_of_the_state_calls_no_weights_certified(certified, tmp_path):
    run = certified("sha256:" + "a" * 64, "w.pt", state=None)
    report = verify_bundle(run, bundle_of(run, tmp_path / "b", tensors("v")))
    assert (report.passed, report.tied, report.faults) == (False, False, ())
    assert "state_sha256" not in (tmp_path / "b" / "bundle.json").read_text()


def test_what_was_chosen_at_bundling_is_listed(certified, tmp_path):
    run = certified()
    assert verify_bundle(run, bundle_of(run, tmp_path / "a")).chosen == ()
    changed = {"alpha": 0.01, "n": 500, "n0": 7, "bound": "cohen"}
    report = verify_bundle(run, bundle_of(run, tmp_path / "b", **changed))
    assert report.passed
    assert [words.split()[0] for words in report.chosen] == ["alpha", "n", "n0", "bound"]


def resummed(path, name, change):
    """Change a file of a bundle and make its sums fit."""
    (path / name).write_text(change((path / name).read_text()))
    sums = (f"{hashlib.sha256((path / each).read_bytes()).hexdigest()}  {each}\n" for each in SUMMED)
    (path / "SHA256SUMS").write_text("".join(sums))
    return path


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        ("bundle.json", '"alpha": 0.002', '"alpha": 0.49'),
        ("bundle.json", '"n": 1000', '"n": 1'),
        ("bundle.json", '"value_range": [\n  0.0,\n  1.0', '"value_range": [\n  0.0,\n  255.0'),
        ("README.md", "is at most 0.002", "is at most 0"),
    ],
)
def test_nonsense_and_another_page_are_named(name, before, after, certified, tmp_path):
    run = certified()
    path = bundle_of(run, tmp_path / "b", alpha=0.002, smoothcert=version("smoothcert"))
    assert verify_bundle(run, path).passed
    assert before in (path / name).read_text()
    report = verify_bundle(run, resummed(path, name, lambda text: text.replace(before, after)))
    assert report.faults
    assert not report.passed


def test_the_page_of_another_version_is_not_compared(certified, tmp_path):
    run = certified()
    path = resummed(bundle_of(run, tmp_path / "b", smoothcert="0.0.1"), "README.md", lambda text: text + "More.")
    report = verify_bundle(run, path)
    assert report.passed
    assert sum(note.startswith("README.md") for note in report.notes) == 1
    assert not report.page


@pytest.mark.parametrize("change", [{"takes_sigma": False}, {"value_range": (0.0, 255.0)}])
def test_a_denoiser_that_would_be_called_in_another_way_is_named(change, certified, tmp_path):
    run = certified(denoiser=DENOISER_FACTS)
    path = bundle_of(run, tmp_path / "b", denoiser=DENOISER, denoiser_file=DENOISER_FILE.model_copy(update=change))
    report = verify_bundle(run, path)
    assert not report.passed
    assert any("value range and sigma" in fault for fault in report.faults)


def test_a_denoiser_with_another_name_is_named(certified, tmp_path):
    run = certified(denoiser=DENOISER_FACTS)
    facts = DENOISER_FACTS.model_copy(update={"reference": "diffusers:folder"})
    model = certified_of(run, 0.25).model.model_copy(update={"denoiser": facts})
    path = bundle_of(run, tmp_path / "b", denoiser=DENOISER, model=model, certified=None)
    report = verify_bundle(run, path)
    assert not report.passed
    assert any("reference" in fault for fault in report.faults)


def test_a_denoiser_of_diffusers_is_called_as_it_is_described(certified, tmp_path):
    facts = DENOISER_FACTS.model_copy(
        update={"reference": "diffusers:folder", "adapted": (ONE_STEP, "images from -1 to 1")}
    )
    run = certified(denoiser=facts)
    assert verify_bundle(run, bundle_of(run, tmp_path / "a", denoiser=DENOISER)).passed
    other = DENOISER_FILE.model_copy(update={"value_range": (0.0, 1.0)})
    report = verify_bundle(run, bundle_of(run, tmp_path / "b", denoiser=DENOISER, denoiser_file=other))
    assert any("value range and sigma" in fault for fault in report.faults)


def declaring(card):
    """The file of `tensors`, with the card of a denoiser."""
    plain = tensors()
    head = json.loads(plain[8 : 8 + int.from_bytes(plain[:8], "little")])
    text = json.dumps({"__metadata__": {"smoothcert_denoiser": json.dumps(card)}, **head}).encode()
    return struct.pack("<Q", len(text)) + text + plain[-8:]


def test_the_same_tensors_with_another_card_are_named(certified, tmp_path):
    own = {"arch": "unet-s", "sigma_low": 0.25, "sigma": 0.5}
    facts = DENOISER_FACTS.model_copy(update={"arch": "unet-s", "sha256": "sha256:" + "a" * 64, "state_sha256": STATE})
    run = certified(denoiser=facts)
    assert verify_bundle(run, bundle_of(run, tmp_path / "a", denoiser=declaring(own))).passed
    for name, other in (("b", {"sigma": 1.0}), ("c", {"arch": "unet-m"})):
        report = verify_bundle(run, bundle_of(run, tmp_path / name, denoiser=declaring(own | other)))
        assert any("denoiser.safetensors declares" in fault for fault in report.faults)


PROBE = ((1.0, 2.0), (3.0, 4.0), (5.0, 6.0), (7.0, 8.0), (1.5, 2.5), (3.5, 4.5), (5.5, 6.5), (7.5, 8.5))


def test_other_code_than_that_of_the_run_is_named_by_its_probe(certified, tmp_path):
    run = certified()
    assert any("was not compared" in note for note in verify_bundle(run, bundle_of(run, tmp_path / "a")).notes)
    models = tuple(each.model_copy(update={"probe": PROBE}) for each in run.spec.models)
    run = dataclasses.replace(run, spec=run.spec.model_copy(update={"models": models}))
    assert verify_bundle(run, bundle_of(run, tmp_path / "b", probe=PROBE[:4])).faults == ()
    for name, other in (("c", ()), ("d", (*PROBE[:3], (7.0, 8.1)))):
        report = verify_bundle(run, bundle_of(run, tmp_path / name, probe=other))
        assert any("other code" in fault for fault in report.faults)


def test_a_bundle_without_origin_can_still_be_the_object(certified, tmp_path):
    run = certified()
    report = verify_bundle(run, bundle_of(run, tmp_path / "b", certified=None))
    assert (report.passed, report.named) == (True, False)


def test_other_weights_are_named_though_every_hash_fits(certified, tmp_path):
    run = certified()
    report = verify_bundle(run, bundle_of(run, tmp_path / "b", b"other weights"))
    assert report.faults == (f"weights.safetensors does not contain the certified weights, {WEIGHTS_SHA256[:19]}...",)


def test_a_certified_denoiser_passes(certified, tmp_path):
    run = certified(denoiser=DENOISER_FACTS)
    report = verify_bundle(run, bundle_of(run, tmp_path / "b", denoiser=DENOISER))
    assert (report.passed, report.faults) == (True, ())
    assert report.weights.count("byte for byte") == 2
    facts = DENOISER_FACTS.model_copy(update={"sha256": "sha256:" + "a" * 64, "state_sha256": STATE})
    run = certified(denoiser=facts)
    report = verify_bundle(run, bundle_of(run, tmp_path / "c", denoiser=tensors()))
    assert report.passed
    assert "denoiser: the tensors the run certified" in report.weights


@pytest.mark.parametrize("state", [STATE, None])
def test_another_denoiser_is_named_though_every_hash_fits(state, certified, tmp_path):
    run = certified(denoiser=DENOISER_FACTS.model_copy(update={"state_sha256": state, "weights": "d.pt"}))
    report = verify_bundle(run, bundle_of(run, tmp_path / "b", denoiser=b"another denoiser"))
    expected = (
        f"denoiser.safetensors does not contain the weights of the certified denoiser, {DENOISER_FILE.sha256[:19]}..."
    )
    assert (report.passed, report.faults) == (False, (expected,))


def test_a_bundle_without_the_denoiser_or_with_one_too_many_is_named(certified, tmp_path):
    plain, denoised = certified(), certified(denoiser=DENOISER_FACTS)
    without = bundle_of(plain, tmp_path / "a", certified=None)
    report = verify_bundle(denoised, without)
    assert (report.passed, report.faults) == (False, (f"denoiser is none, certified: {DENOISER_FACTS.sha256[:19]}...",))
    more = bundle_of(denoised, tmp_path / "b", denoiser=DENOISER, certified=None)
    report = verify_bundle(plain, more)
    assert (report.passed, report.faults) == (False, (f"denoiser is {DENOISER_FACTS.sha256[:19]}..., certified: none",))


def test_each_difference_is_named(certified, tmp_path):
    run = certified()
    recipe = run.spec.recipe.model_copy(update={"precision": "bf16"})
    path = bundle_of(run, tmp_path / "b", levels=4095, preprocessing=("resized",), recipe=recipe)
    assert verify_bundle(run, path).faults == (
        "grid is 4095, certified: 255",
        'preprocessing is ["resized"], certified: []',
        'recipe: precision is "bf16", certified: "fp32"',
    )


def test_another_noise_level_is_named(certified, tmp_path):
    run = certified()
    report = verify_bundle(run, bundle_of(run, tmp_path / "b", sigma=1.0))
    assert report.faults == ("sigma is 1, certified: 0.25 and 0.5",)


def test_another_run_as_origin_is_named(certified, tmp_path):
    run, origin = certified(), certified_of(certified(), 0.25)
    told = origin.model_copy(update={"ledger_sha256": "f" * 64})
    report = verify_bundle(run, bundle_of(run, tmp_path / "b", certified=told))
    assert report.faults == ("the bundle names another run as its origin (ledger ffffffffffff...)",)
    told = certified_of(run, 0.25).model_copy(update={"images": 100_000})
    report = verify_bundle(run, bundle_of(run, tmp_path / "c", certified=told))
    assert report.faults == ("bundle.json: `certified` does not match this run",)


def test_an_unsealed_run_certifies_nothing(certified, tmp_path):
    run = certified(drop=2)
    assert "the run is not sealed, so nothing is certified yet" in (
        verify_bundle(run, bundle_of(run, tmp_path / "b")).faults
    )


def test_every_changed_file_is_named(certified, tmp_path):
    run = certified()
    path = bundle_of(run, tmp_path / "b")
    for name in ("README.md", "bundle.json", "weights.safetensors"):
        copy = shutil.copytree(path, tmp_path / name)
        (copy / name).write_bytes((copy / name).read_bytes() + b" ")
        report = verify_bundle(run, copy)
        assert report.faults == (f"{name} was changed: its hash is not the one in SHA256SUMS",)
        assert (report.passed, report.sigma) == (False, None)
    with refuses("E-RUN-018"):
        verify_bundle(run, tmp_path / "none")


def test_it_needs_no_torch(certified, tmp_path):
    run = certified()
    bundle_of(run, tmp_path / "b")
    code = (
        "import sys; from pathlib import Path; from smoothcert.evidence import open_run;"
        "from smoothcert.verify import verify_bundle;"
        "assert verify_bundle(open_run(sys.argv[1]), Path(sys.argv[2])).passed; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, str(run.directory.path), str(tmp_path / "b")], check=True)
