"""The evidence, recomputed: hashes, chains, votes, bounds and radii by two independent implementations. No torch."""

from smoothcert.verify.check import NOT_SHOWN, Report, verify
from smoothcert.verify.structure import damage

__all__ = ["NOT_SHOWN", "Report", "damage", "verify"]
