"""The constant, reviewed text of the memo and its citations; {name} stands for a field. Nothing is generated."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from smoothcert.yaml_files import parse_yaml

TITLE = "Robustness memo: certified L2 robustness by randomized smoothing"
STATUS = "UNSIGNED DRAFT"
PURPOSE = (
    "This memo records one verification activity. Randomized smoothing [1] was used to bound, image by image, the L2 "
    "norm of input changes within which the smoothed classifier keeps the reference label. It covers one run on "
    "{images} images and one class of change: changes of the input of L2 norm below r (evasion). "
    "Every count and bound of certificates below can be recomputed from stored votes (section 17)."
)
NOT_RELEASED = (
    "The certified object is the smoothed classifier. The released device does not use it. Nothing in this memo "
    "describes the released device's robustness."
)
DESCRIPTIVE = "Results are descriptive; no pass or fail is stated."
SYNTHETIC = "Synthetic images, drawn by a program: nothing here describes images of patients or a device."
DEMONSTRATION_DATA = "Public or demonstration data, as the sponsor states."
DEMONSTRATION_MODEL = "Demonstration classifier, shipped to show the method: of no other use."
FAILED = (
    "The evidence of this run does not verify, so no claim is stated on this page. {first_fault} Run `smoothcert "
    "verify` for every fault; restore the run directory from a copy or certify anew."
)
NAMED = "Primary cell, named before the first image: {cell_words}"
UNNAMED = (
    "No primary cell was named before the run, so the joint bounds apply. Shown is the first attainable cell in the "
    "run's own order: {cell_words}"
)
UNATTAINABLE = "No primary cell was named before the run, and no cell of the run is attainable. Shown: {cell_words}"
SIZE = (
    "r = {cell_radius} is a root-mean-square change of {cell_grey} grey levels (of 255) a value at this image shape "
    "(section 12)."
)
CONDITION_OPEN = (
    "Whether this condition holds is not known: the sponsor's statement of independence is open (section 3)."
)
CONDITION_STATED = "That the condition holds is the sponsor's statement (section 3)."
CLASS_MIX = {
    None: "As the way of sampling is not stated, it speaks for a population with this class mix.",
    "class-stratified": "As the images were drawn class by class, it speaks for a population with this class mix.",
    "other": "As the sampling is neither random nor consecutive, it speaks for a population with this class mix.",
}
OTHER_SIGMA = (
    "The released build smooths with sigma {released_sigma}, which this run did not test: nothing here describes it."
)
UNSHOWN_SIGMA = (
    "The released build smooths with sigma {released_sigma}: read the rows of that sigma in sections 5 and 11."
)
NOT_COVERED = (
    "Computer arithmetic is not covered: the certificates assume exact arithmetic, which this run did not use."
)
PARTIAL = (
    "No statement about a population is made: the run is partial, and images that are decided quickly finish first."
)
DEPENDENT = "No statement about a population is made: the sponsor states that the images are not independent draws."
METHOD = (
    "For a base classifier f, the smoothed classifier g returns the class that f gives most often on copies of an "
    "image with Gaussian noise of standard deviation sigma. If the class probabilities of noisy copies are bounded, g "
    "keeps its class for every change of L2 norm below a radius R that follows from the bounds [1]; for k above 1, a "
    "label stays among the k most probable classes [2]. {label_rule} {stopping_rule} {bound_rule} {noise_rule} What "
    "is certified is f with its numeric recipe: {recipe}. Images whose selection winner is not the reference label "
    "count as wrong class, images of the right class without a positive radius as abstentions; both stay in the "
    "denominator m, as do images without a result."
)
LABEL_RULES = {
    "prediction": "The certified class is the winner of {n0} separate selection copies.",
    "label": "The certified class is the reference label; no selection is needed.",
    "both": (
        "For k = 1 the certified class is the winner of {n0} separate selection copies, for larger k the reference "
        "label."
    ),
}
STOPPING_RULES = {
    "looks": (
        "Votes are examined at up to {looks} fixed looks, at most {n_max} copies; an image stops once every radius of "
        "the run is decided or out of reach, and the bounds of all looks hold together."
    ),
    "fixed": "Each image takes {n_max} copies.",
}
BOUND_RULES = {
    "rankcp": "Exact binomial bounds spend 0.7 of alpha on the label and 0.3 on its k strongest rivals.",
    "simuem": "Exact binomial bounds spend alpha in equal parts on all classes [2].",
    "cohen": "An exact binomial bound spends alpha on the label; its rivals share the rest of the probability [1].",
}
NOISE_RULES = {
    "grid": (
        "Noise is drawn in whole steps of the pixel grid, so that the theorem also holds in computer arithmetic, up to "
        "the total-variation term of section 2 [3]."
    ),
    "float": "Noise is ordinary floating-point noise, for which computer arithmetic is not covered [3].",
}
LOCKED_FIRST = (
    "Noise levels, radii, k, alpha, bounds, looks, images, labels, weights and seed were locked at {locked_at}, before "
    "the first image was decided ({first_at}), in spec.json (SHA-256 in section 17); the log of events is chained by "
    "hashes. {named_words}"
)
NOT_LOCKED_FIRST = (
    "The log of events does not show that the settings were locked before the first image. Treat every setting as "
    "chosen after the results."
)
NAMED_WORDS = "The primary cell ({cell_words}) was locked with them."
UNNAMED_WORDS = "No primary cell was locked with them."
PLANNED_WORDS = (
    "Before, a plan drew {pilot_copies} noisy copies of {pilot_images} of these images; none is a vote of this run."
)
STATISTICS = (
    "Observed shares carry exact two-sided 95 % Clopper-Pearson intervals [4]. The sample bound uses that, with "
    "probability at least 95 %, at most {m_bad} of the {images} runs of one noise level and k return a wrong "
    "class-radius pair. The population bound p_L = (q_L − alpha) / (1 − alpha), with q_L "
    "the one-sided 95 % Clopper-Pearson limit, covers the draw of images and the noise in one probability; joint "
    "bounds share the remaining 5 % equally among all {cells} cells of the run. Lower bounds are rounded down, upper "
    "bounds up. {groups_words} {noise_test} {self_test}"
)
GROUPS = (
    "The images come in {groups} groups: population bounds use one random image of each, intervals treat images as "
    "independent."
)
COST = (
    "All {passes} forward passes took {device_time} of device time ({device}, {run_words}); a fixed number of copies "
    "would have taken {fixed_passes}. {again_words} {scale_words} Sample size: with {images} images, the population "
    "bound of one cell could reach at most {highest_bound} % even if every image were certified, at any sigma, r and "
    "number of copies."
)
AGAIN = "Re-certification after an update takes about {again}."
SCALE = "Production is extrapolated from the measured {rate} copies a second"
SCALE_STATED = "Production is extrapolated from the sponsor's stated {rate} copies a second"
SERVED = (
    "and {utilisation} % of the day at work. A prediction of up to {votes} copies (alpha = {prediction_alpha}) takes "
    "{copies_predict} on average, a certificate {copies_certify}; an estimated {abstention} % of images like these get "
    "no prediction."
)
NO_SCALE = "The device time was not recorded, so nothing is projected."
PRODUCTION = (
    "A day of production on {serving}; in brackets the spread of rate and of copies{priced}. More: report.html."
)
PRICED = "; prices in {currency}, of devices held for 24 hours"
FIGURE = (
    "Certified accuracy in percent against the L2 radius at k = {figure_k}, a line for each noise level, with 95 % "
    "bands; the radii of the run are dashed and the largest radius that the sampling budget can certify is marked. "
    "Its values at those radii are in section 11."
)
RESULTS_NOTE = (
    "The population column may be quoted only for a cell named before the run; every other cell by its joint bound. "
    "Both hold under the condition of section 2."
)
CLASS_NOTE = (
    "Classes with fewer than 50 images: certified / images, without percentage. Rows differ in size and mix: they do "
    "not show equal robustness."
)
NO_GROUPS = "No subgroups other than classes are recorded with the data."
SUBGROUP_CAPTION = (
    "Certified accuracy in percent by subgroup at sigma {sigma}, k = {k}, r = {r}, up to {n_max} noisy copies an image "
    "(95 % interval): lowest and highest value of each column with 50 images or more"
)
SUBGROUP_NOTE = (
    "Subgroup columns: {columns}. Lowest and highest are picked from the results: on other images they would on "
    "average lie closer together. Each interval is for its row alone. More values: report.html."
)
COLUMNS_CUT = " The first {columns_shown} columns have a row."
PLACES = " Names that do not fit or cannot be printed here appear by their place there."
SOME_GROUPS = "Counts by patient or other group are in report.html."
CLASSES_CUT = (
    "{classes_shown} of {classes} classes, those with the lowest share at sigma {class_sigma}; picked for being low, "
    "they would on average do better on other images. All classes: report.html."
)
NUMBERED = "Names that do not fit or cannot be printed here appear as class numbers; report.html has them."
ROWS_CUT = "{rows_shown} of {rows} rows: named cells and criteria first, then the run's order. All: {file}."
CRITERIA_CUT = "{rows_shown} of {rows} criteria, those that are not met first. All: {file}."
UNITS_NOTE = (
    "A uniform shift by one grey level (of 255) at this image shape ({shape}) has L2 norm {one_level}: "
    "{one_level_words}. Whether r is small to a reader of the images, or large enough to matter, is for the sponsor "
    "to judge."
)
CHANGES_MISSING = "How far simple changes move these images was not recorded in this run."
LIMITATIONS = (
    "The certificates concern the smoothed classifier, with the listed weights, noise levels and preprocessing; not "
    "the base classifier, and not a build that runs without smoothing. Only changes bounded in L2 norm are covered. "
    "Images were taken as given: the reference labels, their independence and their origin are the sponsor's. Another "
    "site, scanner, protocol or later period is not covered. The random generator ({generator}) is assumed to be "
    "ideal. An image without certificate is not shown to be attackable. A re-check recomputes every count and "
    "bound from the votes; it does not show {not_shown}. {run_limits}"
)
RESIDUAL = (
    "After this verification there remain: {uncertified} of {images} images without a certificate at {cell_words}; "
    "every change of L2 norm r or more; a failure probability of at most alpha = {alpha} for each image's "
    "certificate; and abstentions, which are not a usable answer. Their evaluation belongs in the risk management "
    "file [9]."
)
RESIDUAL_UNATTAINABLE = (
    "After this verification there remain: all {images} images, as {cell_words} is beyond the sampling budget; every "
    "change of L2 norm r or more; and abstentions, which are not a usable answer. Their evaluation belongs in the risk "
    "management file [9]."
)
RECHECK = (
    "From the run directory, without classifier, image or GPU, in seconds; it recomputes the evidence, this memo's "
    "numbers and the text of this PDF:"
)
COMMAND = "smoothcert verify RUN"

REGULATORY = (
    (
        "FDA draft guidance on AI-enabled device software functions [5]: draft, not for implementation",
        "performance of the model and how it was tested",
        "sections 4, 5, 7 to 9 and 11",
    ),
    (
        "FDA guidance on cybersecurity in medical devices [6]",
        "threat model, security testing",
        "sections 13 and 15: one test record",
    ),
    (
        "Regulation (EU) 2017/745, Annex I 17.2 [7]",
        "software verification, risk management, information security",
        "sections 7 to 11 and 17",
    ),
    (
        "Regulation (EU) 2017/745, Article 7 [7]",
        "claims that do not mislead",
        "sections 2, 13 and 14; wording checked by program",
    ),
    (
        "Regulation (EU) 2024/1689, Article 15 [8]",
        "accuracy, robustness, cybersecurity; inputs made to mislead a model",
        "sections 2, 5, 11 and 13",
    ),
    (
        "ISO 14971:2019 with ISO/TS 24971-2:2026 [9]",
        "risk estimation, residual risk",
        "sections 14 and 15",
    ),
    (
        "ISO/IEC 24029-2:2023 [10]",
        "formal methods for the robustness of neural networks",
        "a stability property; incomplete, non-deterministic, closed-box. Smoothing is not among its listed "
        "techniques, so conformity is not claimed",
    ),
    (
        "NIST AI 100-2 E2025, Adversarial Machine Learning: A Taxonomy and Terminology of Attacks and Mitigations",
        "terms; evasion",
        "evasion only; not poisoning, privacy or abuse",
    ),
)


FILE = "references.yaml"


@cache
def references() -> tuple[str, ...]:
    """Return the citations as printed, in the order of their numbers; a draft is always called draft."""
    text = files(__package__).joinpath(FILE).read_text(encoding="utf-8")
    return tuple(_printed(entry) for entry in parse_yaml(text, FILE))


def _printed(entry: dict[str, object]) -> str:
    status = "" if entry["status"] == "published" else f" ({entry['status']})"
    return f"[{entry['number']}] {entry['text']}{status}"
