"""The results of a smoothed classifier: predictions and certificates of m images as tensors, one row per image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from smoothcert.errors import DataError, MissingExtraError, SpecError
from smoothcert.sampling.protocol import Counts
from smoothcert.stats import Certificate, Prediction, interval
from smoothcert.stats.rounding import round_down, round_up

if TYPE_CHECKING:
    import pandas

ABSTAIN = -1
"""The label of an abstention."""


@dataclass(frozen=True, eq=False, repr=False)
class Predictions:
    """Predictions of the smoothed classifier for m images.

    Attributes:
        label: int64 (m,), or (m, k) in increasing order for k > 1; -1 where it abstained.
        abstained: bool (m,).
        votes: int64 (m, classes): the votes of the look that decided, or of the last.
        samples: int64 (m,): noise samples drawn.
        k: number of classes in an answer.
    """

    label: Tensor
    abstained: Tensor
    votes: Tensor
    samples: Tensor
    k: int = 1

    @classmethod
    def of(cls, found: Sequence[Prediction], votes: Counts, k: int, device: torch.device) -> Predictions:
        """Collect the predictions of single images.

        Args:
            found: one per image.
            votes: int (m, classes): their votes.
            k: number of classes in an answer.
            device: device of the tensors.
        """
        rows = [[ABSTAIN] * k if each.answer is None else sorted(_classes(each)) for each in found]
        label = torch.tensor(rows, dtype=torch.int64).reshape(len(found), k)
        return cls(
            (label[:, 0] if k == 1 else label).to(device),
            (label[:, 0] == ABSTAIN).to(device),
            torch.from_numpy(votes).to(device),
            torch.tensor([each.samples for each in found], dtype=torch.int64, device=device),
            k,
        )

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.samples)

    def __repr__(self) -> str:
        """Return a one-line summary."""
        return (
            f"Predictions(images={len(self)}, k={self.k}, abstained={int(self.abstained.sum())}, "
            f"samples={int(self.samples.sum())})"
        )

    def to_pandas(self) -> pandas.DataFrame:
        """Return one row per image: label (or label_1 to label_k), abstained, samples, leader, vote_share.

        Raises:
            MissingExtraError: pandas is not installed.
        """
        label, votes = self.label.cpu().numpy(), self.votes.cpu().numpy()
        columns = {"label": label} if self.k == 1 else {f"label_{i + 1}": label[:, i] for i in range(self.k)}
        return _frame(
            **columns,
            abstained=self.abstained.cpu().numpy(),
            samples=self.samples.cpu().numpy(),
            leader=votes.argmax(axis=1),
            vote_share=votes.max(axis=1) / votes.sum(axis=1),
        )


class Accuracy(NamedTuple):
    """A certified accuracy with its exact 95 % interval, which assumes that the images are independent draws.

    Attributes:
        value: certified-correct images / images.
        low: lower end of the Clopper-Pearson interval, rounded down to 6 decimals.
        high: upper end, rounded up.
        certified: certified-correct images.
        images: m, abstentions included.
    """

    value: float
    low: float
    high: float
    certified: int
    images: int


@dataclass(frozen=True, eq=False, repr=False)
class Certificates:
    """Certificates of m images: each wrong with probability at most alpha, over the image's own noise.

    Attributes:
        label: int64 (m,): the certified class; -1 for an abstention.
        radius: float64 (m,): L2 radius in units of the [0, 1] range, rounded down to 6 decimals; 0 for an abstention.
        certified: bool (m, R): whether each of `radii` is certified.
        samples: int64 (m,): noise samples drawn, selection included.
        radii: the L2 radii that were decided.
        k: the label stays among the k most probable classes.
        y: int64 (m,): the reference labels, where they were given.
    """

    label: Tensor
    radius: Tensor
    certified: Tensor
    samples: Tensor
    radii: tuple[float, ...]
    k: int = 1
    y: Tensor | None = None

    @classmethod
    def of(
        cls,
        found: Sequence[Certificate],
        k: int,
        radii: tuple[float, ...],
        labels: Sequence[int] | None,
        device: torch.device,
    ) -> Certificates:
        """Collect the certificates of single images.

        Args:
            found: one per image.
            k: rank of the certificates.
            radii: L2 radii that were decided.
            labels: reference labels, or None.
            device: device of the tensors.
        """
        kept = [[r in each.certified_at for r in radii] for each in found]
        return cls(
            torch.tensor([ABSTAIN if c.label is None else c.label for c in found], dtype=torch.int64, device=device),
            torch.tensor([each.radius for each in found], dtype=torch.float64, device=device),
            torch.tensor(kept, dtype=torch.bool, device=device).reshape(len(found), len(radii)),
            torch.tensor([each.samples for each in found], dtype=torch.int64, device=device),
            radii,
            k,
            None if labels is None else torch.tensor(labels, dtype=torch.int64, device=device),
        )

    @property
    def abstained(self) -> Tensor:
        """Images without a certificate, bool (m,)."""
        return self.label == ABSTAIN

    def accuracy(self, y: Tensor | None = None, r: float | None = None) -> Accuracy:
        """Return the certified accuracy at one of the radii: the share of images certified for their label.

        Args:
            y: reference labels (m,); None: those given to `certify`.
            r: one of `radii`; None: the first.

        Raises:
            SpecError: r is not one of the radii that were decided.
            DataError: there are no labels, or not one per image.
        """
        r = self.radii[0] if r is None else r
        if r not in self.radii:
            raise SpecError(
                f"r: expected one of the radii that were decided, {', '.join(map(repr, self.radii))}, got {r!r}. "
                "Sampling stops when these are decided; certify again with radii that include it.",
                code="E-SPEC-027",
            )
        labels = self.y if y is None else torch.as_tensor(y).to(self.label.device)
        if labels is None or labels.shape != self.label.shape:
            got = "none" if labels is None else f"shape {tuple(labels.shape)}"
            hint = " A radius is given as r=..." if isinstance(y, float) else ""
            raise DataError(
                f"y: expected {len(self)} reference labels of shape ({len(self)},), got {got}.{hint}",
                code="E-DATA-161",
            )
        m, s = len(self), int(((self.label == labels) & self.certified[:, self.radii.index(r)]).sum())
        low, high = interval(s, m)
        return Accuracy(s / m, float(round_down(float(low))), float(round_up(float(high))), s, m)

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.label)

    def __repr__(self) -> str:
        """Return a one-line summary."""
        counts = ", ".join(f"{r!r}: {int(n)}" for r, n in zip(self.radii, self.certified.sum(dim=0), strict=True))
        return (
            f"Certificates(images={len(self)}, k={self.k}, certified={{{counts}}}, "
            f"abstained={int(self.abstained.sum())}, samples={int(self.samples.sum())})"
        )

    def to_pandas(self) -> pandas.DataFrame:
        """Return one row per image: label, radius, one column per radius, samples, and y where it was given.

        Raises:
            MissingExtraError: pandas is not installed.
        """
        kept = self.certified.cpu().numpy()
        return _frame(
            label=self.label.cpu().numpy(),
            radius=self.radius.cpu().numpy(),
            **{f"certified_at_{r!r}": kept[:, j] for j, r in enumerate(self.radii)},
            samples=self.samples.cpu().numpy(),
            **({} if self.y is None else {"y": self.y.cpu().numpy()}),
        )


def _classes(found: Prediction) -> frozenset[int]:
    answer = found.answer
    return frozenset({answer}) if isinstance(answer, int) else answer or frozenset()


def _frame(**columns: object) -> pandas.DataFrame:
    try:
        import pandas
    except ImportError:
        raise MissingExtraError("to_pandas", "report") from None
    return pandas.DataFrame(columns)
