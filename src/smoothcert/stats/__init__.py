"""From votes to bounds, radii, certificates and claims: NumPy in, NumPy out, nothing hidden.

Everything here is a pure function of votes. The path: `tally` (class counts to the label's and the rivals'
votes), `bounds` or `running` (Clopper-Pearson bounds, at one look or along the looks), `radius` and
`certified_at` (the theorem), `claims` (what the certificates of m images say together).

>>> plan = Plan(schedule(100_000, "fixed"), 0.001, "rankcp", classes=3, sigma=0.25)
>>> certify_counts([99_000, 900, 100], 0, plan, radii=(0.25, 0.5)).certified_at
(0.25, 0.5)
"""

from smoothcert.stats.binomial import interval, lower_bound, sign_test, upper_bound
from smoothcert.stats.bounds import BOUNDS, Bounds, Tally, bounds, tally
from smoothcert.stats.certificate import Certificate, certify_counts, r_max_of_counts, radii_from_counts
from smoothcert.stats.population import (
    Claim,
    bad_runs,
    claims,
    observed,
    one_per_group,
    population_bound,
    sample_bound,
)
from smoothcert.stats.power import copies_needed, least_margin, power, r_max_fixed, votes_needed
from smoothcert.stats.prediction import (
    Odds,
    Prediction,
    least_votes,
    predict_counts,
    predict_sets,
    prediction_looks,
    prediction_odds,
)
from smoothcert.stats.radius import certified_at, probabilities_at, radius
from smoothcert.stats.rounding import (
    format_down,
    format_up,
    full,
    percent_down,
    percent_exact,
    percent_of,
    percent_up,
    percents,
    round_down,
    round_up,
    scientific_up,
)
from smoothcert.stats.sequential import Plan, levels, r_max, reachable, running, schedule, step, undecided
from smoothcert.stats.simulate import Expected, Procedure, Simulated, expected_copies, simulate

__all__ = [
    "BOUNDS",
    "Bounds",
    "Certificate",
    "Claim",
    "Expected",
    "Odds",
    "Plan",
    "Prediction",
    "Procedure",
    "Simulated",
    "Tally",
    "bad_runs",
    "bounds",
    "certified_at",
    "certify_counts",
    "claims",
    "copies_needed",
    "expected_copies",
    "format_down",
    "format_up",
    "full",
    "interval",
    "least_margin",
    "least_votes",
    "levels",
    "lower_bound",
    "observed",
    "one_per_group",
    "percent_down",
    "percent_exact",
    "percent_of",
    "percent_up",
    "percents",
    "population_bound",
    "power",
    "predict_counts",
    "predict_sets",
    "prediction_looks",
    "prediction_odds",
    "probabilities_at",
    "r_max",
    "r_max_fixed",
    "r_max_of_counts",
    "radii_from_counts",
    "radius",
    "reachable",
    "round_down",
    "round_up",
    "running",
    "sample_bound",
    "schedule",
    "scientific_up",
    "sign_test",
    "simulate",
    "step",
    "tally",
    "undecided",
    "upper_bound",
    "votes_needed",
]
