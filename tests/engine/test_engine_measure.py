"""What a run records beside its votes: accuracy without noise, and how far simple changes move the images."""

import numpy as np
import torch

from networks import loaded, small_request, write_denoiser
from smoothcert.data import PERTURBATIONS, load_images, perturbation_norms
from smoothcert.engine.measure import measure_clean
from smoothcert.engine.run import certify, resume
from smoothcert.evidence import RunDirectory, open_run
from smoothcert.evidence.events import CHANGED, CLEAN, RATES


def test_accuracy_without_noise_is_that_of_the_plain_classifier(resnet, tmp_path):
    model, data = resnet
    certify(small_request(model, data, k=(1, 2)), tmp_path / "run")
    run, images = open_run(tmp_path / "run"), load_images(str(data))
    from smoothcert.models import ModelOptions, load_classifier

    classifier = load_classifier(str(model), ModelOptions())
    mean, std = (torch.tensor(each).reshape(1, -1, 1, 1) for each in (classifier.mean, classifier.std))
    batch = torch.from_numpy(np.stack([images.pixels(i) for i in range(len(images))]) / np.float32(255))
    with torch.no_grad():
        ranked = classifier.module((batch - mean) / std).numpy().argsort(axis=1)[:, ::-1]
    for sigma in run.spec.request.sigma:
        clean = run.clean(sigma)
        assert clean.images == len(images)
        for k in (1, 2):
            hit = [labelled in row[:k] for labelled, row in zip(images.labels, ranked, strict=True)]
            expected = np.bincount(images.labels[hit], minlength=images.num_classes)
            assert clean.correct[k] == tuple(expected)


def test_changes_are_medians_and_counts_over_the_images(grey, tmp_path):
    certify(small_request("nets:robust", grey, radius=(0.05, 0.2)), tmp_path / "run")
    run, images = open_run(tmp_path / "run"), load_images(str(grey))
    norms = [perturbation_norms(images.pixels(i), images.levels) for i in range(len(images))]
    assert {change.name for change in run.changes} == set(PERTURBATIONS)
    for change in run.changes:
        mine = [each[change.name] for each in norms]
        assert change.images == 12
        assert change.median == np.median(mine)
        assert change.within == tuple((r, sum(norm < r for norm in mine)) for r in (0.05, 0.2))


def test_both_are_recorded_once_in_a_run_that_was_interrupted(grey, tmp_path):
    run = certify(small_request("nets:robust", grey), tmp_path / "run")
    lines = run.events.read_text().splitlines(keepends=True)
    run.events.write_text("".join(lines[:-1]))
    resume(RunDirectory(run.path), {"model": "nets:robust"}, False)
    told = [event.event for event in run.read_events()]
    assert told.count(CLEAN) == 1
    assert told.count(CHANGED) == 1


def test_a_run_without_these_records_says_none(grey, tmp_path):
    run = certify(small_request("nets:robust", grey), tmp_path / "run")
    lines = run.events.read_text().splitlines(keepends=True)
    run.events.write_text(lines[0])
    opened = open_run(run.path)
    assert opened.clean(opened.spec.request.sigma[0]) is None
    assert opened.changes == ()


def test_the_rate_is_measured_once_in_each_precision_the_device_runs(resnet, tmp_path):
    certify(small_request(*resnet), tmp_path / "run")
    rates = open_run(tmp_path / "run").rates
    assert set(rates.rates) | set(rates.left_out) == {"fp32", "bf16", "fp16"}
    assert set(rates.rates) >= {"fp32", "bf16"}
    assert all(rate > 0 for rate in rates.rates.values())
    if rates.device == "cpu":
        assert "CUDA device" in rates.left_out["fp16"]
    events = RunDirectory(tmp_path / "run").read_events()
    assert [event.event for event in events].count(RATES) == 1


def test_a_precision_that_fails_is_left_out_with_its_reason(grey, tmp_path, monkeypatch):
    from smoothcert.engine import measure

    honest = measure._rate

    def fails(work, sigma, seed, precision):
        if precision == "bf16":
            raise RuntimeError("not implemented for 'BFloat16'\nand more")
        return honest(work, sigma, seed, precision)

    monkeypatch.setattr(measure, "_rate", fails)
    certify(small_request("nets:robust", grey), tmp_path / "run")
    rates = open_run(tmp_path / "run").rates
    assert rates.left_out["bf16"] == "not implemented for 'BFloat16'"
    assert "fp32" in rates.rates


def test_a_denoiser_is_measured_beside_the_classifier_alone(resnet, tmp_path):
    denoiser = write_denoiser(tmp_path / "denoiser.safetensors")
    work = loaded(small_request(*resnet, k=(1, 2), denoiser=str(denoiser)))
    alone = measure_clean(loaded(small_request(*resnet, k=(1, 2))), 0.25)
    found = measure_clean(work, 0.25)
    assert found["alone"] == alone["correct"]
    assert found["correct"] != alone["correct"]
    assert "alone" not in alone
