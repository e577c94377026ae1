"""A run of very many images at one noise level, in memory, without sampling."""

import numpy as np

from factories import PASSED, dated_now, make_line, make_spec
from smoothcert.evidence import Run
from smoothcert.evidence.creation import create_run
from smoothcert.evidence.events import FINISHED, LEVEL, append_event
from smoothcert.evidence.ledger import Ledger

CLASSES, N = 8, 1000


def large(path, images, seed=0):
    """Votes of one look for each image, drawn together."""
    rng = np.random.default_rng(seed)
    labels = np.arange(images) % CLASSES
    spec = make_spec(labels.tolist(), CLASSES, (N,), stopping="fixed", sigma="0.25", radius="0.25,0.5")
    own = rng.beta(8, 0.8, images)
    chances = np.stack([own, 0.7 * (1 - own), 0.3 * (1 - own)], axis=1)
    votes, selection = rng.multinomial(N, chances), rng.multinomial(100, chances)
    lines = [_line(i, int(labels[i]), selection[i].tolist(), votes[i].tolist()) for i in range(images)]
    directory = create_run(path, spec, {})
    ledger = Ledger(tuple(dated_now(lines)))
    append_event(directory.events, LEVEL, sigma=0.25, **PASSED)
    append_event(directory.events, FINISHED, lines=images, ledger_sha256=ledger.sha256())
    return Run(directory, spec, ledger)


def _line(index, label, selection, votes):
    classes = [(label + step) % CLASSES for step in range(3)]
    cast = [{c: n for c, n in zip(classes, counts, strict=True) if n} for counts in (selection, votes)]
    return make_line(index, label, cast[0], [cast[1]])
