"""The page's running text. It states no result: figures stand only in the tables, which are measured."""

from __future__ import annotations

from figures import Scale

ABOUT = """
Written by `{command}`; do not edit it, run it again. The JSON file beside it holds every round's figures.

Measured: (1) noise samples per second during certification: ResNet-20, random weights, 64 random 28x28 colour images,
sigma 0.5; (2) the effect of keeping freed memory; (3) samples and seconds per image at the same guarantee. All run on
the CPU, in turn, round by round, every measurement in a process of its own, after a warm-up; set-up (imports, loading,
folding, the noise table, compilation of the noise loop) is excluded for all.

* *this engine*: noise on a grid, scheduler, votes, looks and bounds, batch 512; `stopping=fixed` where the rate is
  measured
* *bare forward loop*: the engine's prepared classifier on one constant batch of 512: no noise, no votes
* *Algorithm 1 written out*: CERTIFY of [Cohen, Rosenfeld and Kolter (ICML 2019)](https://arxiv.org/abs/1902.02918) in
  PyTorch, n0 = 100, n = 10,000, one image at a time; batch 1000 is the default of the published command, the other one
  the fastest of those tried
* *ART*: the [Adversarial Robustness Toolbox](https://arxiv.org/abs/1807.01069),
  `PyTorchRandomizedSmoothing.certify(x, n, batch_size)`, same n0 and n
"""

TRIAL = "**A trial run of the benchmark, too short to be a measurement.**"

READING = """
* A rate is the number of samples drawn (selection included, padding excluded) divided by seconds.
* A ratio is taken within each round and then summarised, so it need not equal the ratio of two medians. If its
  range contains 1, these rounds show no difference.
* A rate says what a sample costs, the last two tables what a certificate costs: samples per image times the cost of
  one.
* The engine against the bare loop shows the cost of noise, votes and bookkeeping. The engine in bf16 against an fp32
  contestant compares precisions as well as programs; compare fp32 with fp32 for the programs alone.
* The noise differs between programs, so the numbers certified may differ by images whose radius is close to r.
"""

FAIRNESS = """
In the engine's favour:

* It keeps freed memory; ART and Algorithm 1 leave the allocator as it is unless the table says otherwise.
* It folds batch normalisation and uses the channels-last layout; both could be done by hand for ART or Algorithm 1,
  which get the classifier as trained.
* Its bf16 rows have no counterpart here, although a classifier given to ART or Algorithm 1 could compute in bf16.
* Its votes are counted but not written to disk here, as `smoothcert certify` would.
* `stopping=looks` decides the radii asked for and then stops; ART and Algorithm 1 return the largest radius that all
  their samples allow, for any r chosen before the certificate is seen.

Against the engine:

* ART and Algorithm 1 get the fastest batch size on this machine of those tried; the engine keeps its default.
* It draws noise on an integer grid, addressed by image and sample, so that every vote can be reproduced and computer
  arithmetic is covered; it keeps the votes and hashes the images. The others keep a class and a radius.
* ART was run without its own normalisation option, which would copy all noisy images once more.
* Algorithm 1 counts votes with NumPy's `bincount`; the published code counts them in a Python loop.

Neither way: two small networks and one image size on a CPU. Nothing here is about GPUs, large images, or a machine
that does other work at the same time.
"""

READ_AT = "1.20.1"


def peer_words(version: str | None) -> str:
    """Return what the peer is and what it does, by its source."""
    if version is None:
        return "Not installed."
    return (
        f"ART {version} (PyPI `adversarial-robustness-toolbox`; its smoothing also needs `packaging` and "
        f"`statsmodels`). According to its source (version {READ_AT}), `certify` goes image by image; for each it "
        "draws `sample_size` noise samples (here n0 = 100) to select the class and then n to estimate, each set at "
        "once as float64 NumPy noise, rounded to float32; only the forward pass is in batches, 32 by default, which "
        "a PyTorch `DataLoader` collates sample by sample. The bound is Clopper-Pearson at alpha and the radius "
        "Cohen's, as in Algorithm 1. There is no early stopping."
    )


def rounds_words(count: int) -> str:
    """Return a number of rounds in words."""
    return f"{count} round{'s' * (count > 1)}"


def tried_words(tries: int) -> str:
    """Return how batch sizes were tried."""
    runs = "one short run each" if tries == 1 else f"the better of {tries} short runs each"
    return f"Samples per second before the rounds, ResNet-20, {runs}. The fastest size is used above and below."


def guarantee_words(scale: Scale) -> str:
    """Return what was certified at the same guarantee."""
    return (
        f"The first {scale.images} synthetic images, the shipped demo classifier (ResNet-8), sigma 0.5, alpha 0.001, "
        f"k = 1, n0 = 100, at most {scale.n_max:,} samples after selection, fp32, "
        f"{rounds_words(scale.guarantee_rounds)}, other noise in each. For any fixed image each procedure returns a "
        "wrong certificate with probability at most alpha, over its own noise (ART and Algorithm 1: in exact "
        "arithmetic). Medians (lowest to highest)."
    )
