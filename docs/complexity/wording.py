"""The running text of the sample-complexity page; every number in it is filled in."""

WRITTEN = """
Written by `python docs/complexity/make.py RUN`; do not edit it, run it again. `complexity/numbers.json` holds its
numbers.
"""

TERMS = """
A vote is the class that one noisy copy gets. With unlimited votes the label's probability p would be known, and the
image certified up to R = sigma Phi^-1(p) (one rival; with more rivals at least up to that). With n votes only a lower
bound of p is known, so a radius r below R takes votes, and the more the smaller the **margin** (R - r) / sigma. In this
unit only r / sigma matters.

"Votes needed" by one look are those that certify r with {wanted} probability; any larger number does too. Unless said
otherwise alpha = {alpha:g}, the bound is `rankcp`, there are {classes} classes, k = 1, and all other votes are for one
rival, which is the hardest case.
"""

NEAR = """
Near the radius a small difference in p decides: at r / sigma = 1, margin 0.1 is p = {p:.5f}, where {least} is the
least. A radius four times as large as sigma asks for p above {far}: {votes} votes, even if all agree.
"""

OTHERS = """
Other alphas, and other bounds; last column: k = 5, the other votes split 1/2, 1/4, 1/8, ... among the rivals
(simulated, to about 2 %):
"""

TOP = """
Top-k for the same image, its other votes split in the same way ("-": R is below r):
"""

AROUND_R = """
Looks up to n_max = {n_max:,}: mean votes, and share of images certified, of {images:,} simulated images a row:
"""

PRICE = "The price of looks, n_max being the same: the smallest margin certified with {wanted} probability."

PAYS = """
Looks pay for stopping early with a part of alpha, so an image whose margin lies between these two numbers may be lost.
Fixed sampling pays for every image what only those near the radius need.
"""

TRAINED = "ResNet-20s trained by `smoothcert train --sigma S --entropy 0` (at 1.0 also `--consistency 5`)"
"""The classifiers of the stored run, which no run directory describes: to be changed with its numbers."""

A_RUN = """
A run of its own: {images:,} images of {data}, {trained};
n0 = {n0}, n_max = {n_max:,}, alpha = {alpha:g}, `{bound}`, k = {ks}, radii {radii}.
Copies an image, selection included; fixed sampling would take {fixed:,}:
"""

SIMULATED = """
Simulated: the same procedure, {again} times, on votes drawn from each image's observed shares of votes. The means are
at most {largest} % apart. The shares come from the very votes that stopped the image, so this checks the theory on real
images; it is not an independent forecast.

Hashes of the run: votes `{votes}...`, spec `{spec}...`.
"""

REACH = """
One look of n votes: how far it reaches if all agree (`cohen`), and the smallest margin it certifies with {wanted}
probability (`rankcp`; "-": r is beyond its reach):
"""

ROOT = """
From {first:,} to {last:,} votes each factor ten divides the margin by {low} to {high} (the square root of ten is 3.2)
and adds {more} to {most} to R_max / sigma.
"""

MORE = """
The last column takes each image's observed margin as its true one: so many images lie where {more:,} votes certify with
{wanted} probability and {n_max:,} did not. It helps to plan a run; it certifies nothing.
"""

FUNCTIONS = """
All of it comes from `smoothcert.stats`: `copies_needed` and `power` (exact where only the label's count matters,
simulated otherwise), `least_margin`, `probabilities_at` (probabilities with a given margin), `simulate` and
`expected_copies` (the procedure of a run, with selection, looks and futility, on votes drawn from given probabilities).
Section 5 of the notebook that `smoothcert report` writes asks the same questions for the settings of that run.
"""
