"""The running text of the sample-complexity page; every number in it is filled in."""

WRITTEN = """
Written by `python docs/complexity/make.py RUN`; do not edit it, run it again. Its numbers are in
`docs/complexity/numbers.json`.
"""

TERMS = """
A [vote](glossary.md#the-method) is the class of one noise sample. With unlimited votes the label's probability p would
be known, and the image could be certified up to R = sigma Phi^-1(p) (with one rival; with more rivals at least up to
that). With n votes only a lower bound on p is known, so certifying a radius r below R takes votes: the smaller the
**margin** (R - r) / sigma, the more. In this unit only r / sigma matters.

"Votes needed" in one look means: this number, and any larger one, certifies r with probability {wanted}. Unless
otherwise stated, alpha = {alpha:g}, the bound is `rankcp`, there are {classes} classes, k = 1, and all other votes
are for one rival, which is the hardest case.
"""

NEAR = """
Close to the radius a small difference in p decides: at r / sigma = 1, a margin of 0.1 is p = {p:.5f}, and {least} is
the minimum. A radius four times as large as sigma requires p above {far}: {votes} votes, even if all agree.
"""

OTHERS = """
Other alphas and other bounds. Last column: k = 5, with the other votes split 1/2, 1/4, 1/8, ... among the rivals
(simulated, to about 2 %):
"""

TOP = """
Top-k for the same image, with its other votes split in the same way ("-": R is below r):
"""

AROUND_R = """
Looks up to n_max = {n_max:,}: mean votes, and share of images certified, from {images:,} simulated images per row:
"""

PRICE = "The price of looks, at the same n_max: the smallest margin certified with probability {wanted}."

PAYS = """
Early stopping costs a part of alpha, so an image whose margin lies between these two numbers may be lost.
Fixed sampling spends on every image what only those close to the radius need.
"""

TRAINED = "ResNet-20s trained by `smoothcert train --sigma S --entropy 0` (at 1.0 also `--consistency 5`)"
"""The classifiers of the stored run, which no run directory describes: to be changed with its numbers."""

A_RUN = """
A run of its own: {images:,} images of {data}, {trained};
n0 = {n0}, n_max = {n_max:,}, alpha = {alpha:g}, `{bound}`, k = {ks}, radii {radii}.
Samples per image, selection included; fixed sampling would take {fixed:,}:
"""

SIMULATED = """
Simulated: the same procedure, {again} times, on votes drawn from each image's observed vote shares. The means are at
most {largest} % apart. The shares come from the same votes that stopped the image, so this checks the theory on real
images; it is not an independent forecast.

Hashes of the run: votes `{votes}...`, spec `{spec}...`.
"""

REACH = """
One look of n votes: R_max if all agree (`cohen`), and the smallest margin that it certifies with probability {wanted}
(`rankcp`; "-": r is not attainable):
"""

ROOT = """
From {first:,} to {last:,} votes, each factor of ten divides the margin by {low} to {high} (the square root of ten is
3.2) and adds {more} to {most} to R_max / sigma.
"""

MORE = """
The last column takes each image's observed margin as its true one: it counts the images that {more:,} votes would
certify with probability {wanted} and {n_max:,} did not. It helps to plan a run; it certifies nothing.
"""

FUNCTIONS = """
Everything on this page is computed by [smoothcert.stats](api/stats.md): `smoothcert.stats.samples_needed` and
`smoothcert.stats.power` (exact if only the label's count matters, simulated otherwise), and `smoothcert.stats.simulate`
(the procedure of a run, with selection, looks and futility, on votes drawn from given probabilities). Section 5 of
[the notebook](notebook.md) answers the same questions for the settings of a run.
"""
