"""What the bound guarantees and what it does not: constant, reviewed text for every document."""

from __future__ import annotations

from smoothcert.report.table import Table

ROWS = (
    (
        "which classifier",
        "the smoothed classifier with this sigma and these weights",
        "the base model, or a device that runs without smoothing",
    ),
    (
        "kind of change",
        "any change of L2 norm below r, however it was found",
        "L-infinity, patch or semantic changes whose L2 norm is r or more",
    ),
    ("where", "the tensor after resizing and scaling to [0, 1], before normalisation", "raw detector or DICOM data"),
    (
        "size",
        "r as RMS grey levels a pixel (see the radius in image units)",
        "that r is small to a radiologist, or large enough to matter",
    ),
    (
        "rotation, shift, contrast, compression",
        "only those instances whose L2 norm is below r (share measured on the images)",
        "these families as such",
    ),
    (
        "scanner, protocol, site, time",
        "nothing beyond the sampled population",
        "another site; future patients who differ",
    ),
    ("label", "agreement with the reference standard on this sample", "that the reference standard is right"),
    (
        "constancy and correctness",
        "the class does not change inside the ball",
        "that it is right: a wrong answer can be stable",
    ),
    ("poisoning, theft, metadata tampering", "nothing", "their absence"),
    (
        "update of model or preprocessing",
        "the hashes listed in this document",
        "any retrained, quantised or recompiled build",
    ),
    ("abstention", "it is counted against the classifier", "a usable answer; an abstention can itself be provoked"),
    ("uncertified images", "nothing", "that they can be attacked"),
    ("subgroups", "rows with an interval of their own", "equal robustness"),
)
ARITHMETIC = {
    True: ("arithmetic", "the procedure on the integer grid", "hardware faults; equal votes on other hardware"),
    False: (
        "arithmetic",
        "nothing: computer arithmetic is not covered in this run",
        "soundness of floating-point noise",
    ),
}
HEADINGS = ("topic", "guarantees, subject to alpha and the stated assumptions", "does not guarantee")


def guarantees(arithmetic_covered: bool) -> Table:
    """Return the table of guarantees; its arithmetic row follows the run.

    Args:
        arithmetic_covered: whether grid noise was used and the self-test passed.
    """
    rows = (*ROWS, ARITHMETIC[arithmetic_covered])
    names = ("topic", "guarantees", "does_not")
    return Table(HEADINGS, rows, tuple(dict(zip(names, row, strict=True)) for row in rows))
