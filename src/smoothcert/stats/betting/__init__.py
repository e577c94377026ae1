"""Certificates by betting: a test martingale for each radius and set of rivals, valid under any stopping rule.

`rule` connects it with a run: while an image is sampled, and from stored looks. `verify` has its own implementation.

Instead of bounding probabilities, a gambler bets on the votes against the null "radius r does not hold". Under a true
null no way to bet makes the wealth grow on average, so a wealth of 1 / alpha refutes it, and r is certified.

**Wealth.** Before each batch of votes, and only from the votes before it, choose T in G and a tangent below the null
(`tangents`). A vote then pays v = s - c for the label, -1 - c for a member of T and -c for others. Expert e bets a
constant multiple lambda_e < 1 / (1 + c) of it; the wealth is the sum over e of w_e prod (1 + lambda_e v), with weights
w_e that sum to 1 and the product over all votes.

**Theorem.** Let the label, the grid of radii and the rules above be fixed before the votes are drawn. Let the votes be
independent given the image, each within eta in total variation of a vote under Gaussian noise. Then with probability at
least 1 - alpha no radius reported for this image and this k, at any look, is wrong, whatever ends the sampling.

Proof.

1. *Supermartingale.* Let r not hold. By the theorem in `tangents` there is a set G of k rivals, which depends on the
   classifier and the image alone, with s p_l - p_T <= c for each T in G and each tangent. T, s, c and lambda_e are
   functions of earlier batches; given these, each factor 1 + lambda_e v of a batch is positive and has expectation at
   most 1. The votes are independent, so the wealth W_G against this G is a non-negative supermartingale from 1.
2. *Ville (1939)*: P(W_G >= 1 / alpha at some look) <= alpha. The event is "at some look", so it does not matter which
   look is the last. (Means are bet on in this way by Waudby-Smith and Ramdas, JRSS B 86, 2024,
   doi:10.1093/jrsssb/qkad009.)
3. *Intersection-union.* r is reported only if the wealth against every set of k rivals has reached 1 / alpha, the G
   above among them. So alpha is not divided among rivals, classes, looks, or label and rivals.
4. *Nested radii.* r is reported only with every smaller radius of the grid. If some reported radius does not hold, then
   the smallest radius of the grid that does not hold is reported too, and that happens with probability at most alpha.
   So alpha is not divided among radii either. Each k has an alpha of its own.
5. *One wealth for all G*, where k > 1. Order the rivals by their votes before the batch, ties in any fixed way. For
   each G let T be its t members with fewest votes; t and the tangent are the same for all G. The other k - t members of
   G are before those of T in the order, so no member of T is among the k - t most voted of all rivals. Hence T receives
   at most x_T, the sum of the t largest counts of the batch among the rivals that are left when the k - t most voted
   are removed; of rivals tied at place k - t, those with fewest votes in the batch are removed, so this holds however
   ties are broken. A vote for T pays less than one for a third class, so the wealth computed with x_T is at most W_G
   for each G, and it is enough that this one reaches 1 / alpha. For k = 1 each rival j has a wealth of its own,
   T = {j}.

**Choices that affect power only.** t maximises the mean log-growth of the best expert at the shares of votes before the
batch (t = k in the first); the tangent is that for the share of third classes before the batch. Let q be 1 - p_l at the
null with k equal rivals and no other class, and N = ln(1 / alpha) + 2 the log-wealth that an image is expected to need.
The first expert is made for n_0 = max(N / -ln(1 - q), 16) votes, nearly all for the label, and bets 0.98 / (1 + c). The
others are made for n_i = n_max, n_max / 3, n_max / 9, ... > n_0 votes and bet the smaller of 0.98 / (1 + c) and
sqrt(2 N / n_i) / deviation, the standard deviation of v at the point of contact. w_i is proportional to sqrt(n_i).

**Arithmetic.** For k <= 50 the logarithm of a factor is below 4 in absolute value. It is multiplied by counts, and
summed in at most 6 operations per look, so with at most 2000 looks the rounding error of the log-wealth is below
4 n_max (6 2000 + 8) 2^-53 < 1e-11 n_max, which is added to ln(1 / alpha).

>>> bets = Bets(1, (0.5, 1.0, 1.5, 2.0), alpha=0.001, n_max=1000)
>>> looks = columns([[{7: 98, 3: 2}, {7: 490, 3: 10}]], [7], classes=1000, k=1)
>>> certified_by_betting(looks, bets).tolist()
[[True, True, True, False]]
"""

from smoothcert.stats.betting.batch import columns
from smoothcert.stats.betting.wealth import Bets, Wealth, certified_by_betting, look
from smoothcert.stats.betting.worth import worth

__all__ = ["Bets", "Wealth", "certified_by_betting", "columns", "look", "worth"]
