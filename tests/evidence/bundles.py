"""Bundle records made by hand, over the handmade spec."""

import hashlib

from smoothcert.evidence.bundle.differences import certified_of
from smoothcert.evidence.bundle.record import Bundle, Facts
from smoothcert.evidence.ledger import Ledger
from smoothcert.evidence.run import Run

WEIGHTS = b"any bytes: only their hash is looked at here"
FILE = f"sha256:{hashlib.sha256(WEIGHTS).hexdigest()}"


class Sealed(Run):
    """A run in memory that says it is sealed."""

    sealed = True


def with_weights(spec, sha256=FILE):
    """A spec whose classifiers are those weights."""
    return spec.model_copy(update={"models": tuple(m.model_copy(update={"sha256": sha256}) for m in spec.models)})


def certified(spec, sigma=0.25):
    """What a sealed run with that spec certified."""
    return certified_of(Sealed(None, spec, Ledger(())), sigma)


def a_bundle(spec, sigma=0.25, **changed):
    """A bundle of one noise level of a spec."""
    origin = certified(spec, sigma)
    facts = {name: getattr(origin, name) for name in Facts.model_fields}
    usual = {"smoothcert": "0.1.0", "file_sha256": FILE, "n": 1000, "alpha": 0.001, "n0": 100, "bound": "rankcp"}
    return Bundle(**{**facts, **usual, "certified": origin, **changed})
