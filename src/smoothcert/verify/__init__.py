"""Recomputation of the evidence: hashes, chains and votes; bounds, radii and claims by two implementations."""

from smoothcert.verify.bundle import NOT_SHOWN_OF_BUNDLE, BundleReport, verify_bundle
from smoothcert.verify.chains import Signed, check_signatures, lost_lines
from smoothcert.verify.check import NOT_SHOWN, Report, verify
from smoothcert.verify.structure import damage, line_faults

__all__ = [
    "NOT_SHOWN",
    "NOT_SHOWN_OF_BUNDLE",
    "BundleReport",
    "Report",
    "Signed",
    "check_signatures",
    "damage",
    "line_faults",
    "lost_lines",
    "verify",
    "verify_bundle",
]
