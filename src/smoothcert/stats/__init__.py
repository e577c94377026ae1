"""From votes to bounds, radii, certificates and claims: pure functions of NumPy arrays, without hidden state.

Reading order: `tally` splits class counts into the label's votes and its rivals'; `bounds` gives Clopper-Pearson bounds
at one look, `running` along all looks; `radius` and `certified_at` apply Theorem 1 of Cohen et al. (ICML 2019,
arXiv:1902.02918) and of Jia et al. (ICLR 2020, arXiv:1912.09899); `claims` combines the certificates of m images.

>>> plan = Plan(schedule(100_000, "fixed"), 0.001, "rankcp", classes=3, sigma=0.25)
>>> certify_counts([99_000, 900, 100], 0, plan, radii=(0.25, 0.5)).certified_at
(0.25, 0.5)
"""

from smoothcert.stats.binomial import interval, lower_bound, upper_bound
from smoothcert.stats.bounds import BOUNDS, Bounds, Tally, bounds, tally
from smoothcert.stats.bounds_rule import final_bounds, taken_at
from smoothcert.stats.certificate import Certificate, certify_counts, radii_from_counts
from smoothcert.stats.population import Claim, claims, population_bound, sample_bound
from smoothcert.stats.power import power, r_max_fixed, samples_needed, votes_needed
from smoothcert.stats.prediction import Prediction, predict_counts, prediction_looks
from smoothcert.stats.radius import certified_at, radius
from smoothcert.stats.rule import Certified, Rule, StoredVotes
from smoothcert.stats.rules import r_max, rule_of
from smoothcert.stats.sequential import Plan, running, schedule
from smoothcert.stats.simulate import Procedure, Simulated, simulate

__all__ = [
    "BOUNDS",
    "Bounds",
    "Certificate",
    "Certified",
    "Claim",
    "Plan",
    "Prediction",
    "Procedure",
    "Rule",
    "Simulated",
    "StoredVotes",
    "Tally",
    "bounds",
    "certified_at",
    "certify_counts",
    "claims",
    "final_bounds",
    "interval",
    "lower_bound",
    "population_bound",
    "power",
    "predict_counts",
    "prediction_looks",
    "r_max",
    "r_max_fixed",
    "radii_from_counts",
    "radius",
    "rule_of",
    "running",
    "sample_bound",
    "samples_needed",
    "schedule",
    "simulate",
    "taken_at",
    "tally",
    "upper_bound",
    "votes_needed",
]
