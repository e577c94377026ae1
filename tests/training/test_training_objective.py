import pytest
import torch
from scipy.special import rel_entr, softmax
from scipy.stats import entropy as scipy_entropy
from torch.nn import functional as F

from smoothcert.training import TrainingSettings
from smoothcert.training.trainer import objective

LABELS = torch.tensor([0, 1, 2, 0, 1])


def logits(seed: int, n: int = 5) -> torch.Tensor:
    return 2 * torch.randn((n, 3), generator=torch.Generator().manual_seed(seed))


def test_the_three_terms_against_scipy() -> None:
    """Return cross-entropy, mean divergence of a sample from the average, and entropy of the average."""
    samples = [logits(1), logits(2)]
    settings = TrainingSettings(sigma=0.5, consistency=7.0, entropy=0.5)
    shares = [softmax(sample.double().numpy(), axis=1) for sample in samples]
    mean = (shares[0] + shares[1]) / 2
    apart = sum(rel_entr(mean, share).sum(1).mean() for share in shares) / 2
    cross = F.cross_entropy(torch.cat(samples), LABELS.repeat(2))
    expected = float(cross) + 7.0 * apart + 0.5 * scipy_entropy(mean, axis=1).mean()
    assert float(objective(torch.cat(samples), LABELS, settings)) == pytest.approx(expected, rel=1e-5)


def test_one_copy_is_plain_cross_entropy() -> None:
    settings = TrainingSettings(sigma=0.5, consistency=0.0, entropy=0.5)
    assert torch.equal(objective(logits(1), LABELS, settings), F.cross_entropy(logits(1), LABELS))


def test_consistency_costs_nothing_only_for_equal_samples() -> None:
    settings = TrainingSettings(sigma=0.5, consistency=1.0, entropy=0.0)
    same, other = torch.cat([logits(1), logits(1)]), torch.cat([logits(1), -logits(1)])
    assert float(objective(same, LABELS, settings)) == pytest.approx(
        float(F.cross_entropy(logits(1), LABELS)), abs=1e-5
    )
    assert float(objective(other, LABELS, settings)) > float(F.cross_entropy(other, LABELS.repeat(2))) + 0.01


def test_certain_predictions_keep_a_finite_loss() -> None:
    certain = 1000.0 * F.one_hot(LABELS, 3).float()
    assert torch.isfinite(objective(torch.cat([certain, -certain]), LABELS, TrainingSettings(sigma=0.5)))
