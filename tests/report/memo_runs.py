"""Runs and sponsor files for the memo."""

from factories import make_run

PRIMARY = {"sigma": 0.5, "radius": 0.25, "k": 1}
CRITERIA = ({**PRIMARY, "at_least": 0.5, "of": "population"}, {**PRIMARY, "at_least": 0.999, "of": "joint"})


def memo_run(path, images=40, equal=True, **settings):
    """Write and open a run with the hash of its code; `equal` is the outcome of the self-test."""
    tests = {"self_test": {"bit_equal": equal}, "noise_test": {"passed": True}}
    environment = {"packages": {"torch": "2.11.0"}, "code_sha256": "e" * 64}
    return make_run(path, images, seed=5, write={"tests": tests, "environment": environment}, **settings)


LONG = "lorem ipsum dolor sit amet 12345 " * 160
FULL = {
    "device": "Cell reader 2.1",
    "intended_use": "Second reading of blood smears",
    "users": "Laboratory physicians",
    "population": "Adults, all indications",
    "reference_standard": "Consensus of two readers",
    "data_origin": "One hospital, 2015 to 2019",
    "independence": {"statement": "One image a patient", "independent": True, "sampling": "random"},
    "data_role": "held-out test data, not used for training or tuning",
    "preprocessing": "Cropped by the scanner",
    "deviations": "None besides those that the log shows",
    "regulation": "IVDR",
    "threat_model": "Access to the image archive",
    "smoothing": {"in_release": True, "sigma": 0.5, "copies": 1000},
    "thresholds": "Scanner noise stays below r",
    "risk_ids": ["RM-031"],
    "production": {
        "devices": [
            {"name": "Reader", "source": "a quote", "hour": {"amount": 2.4, "currency": "EUR", "date": "2026-10-01"}}
        ]
    },
    "approvals": [{"role": "Author", "name": "A. Example"}],
    "revisions": [{"version": "1.0", "date": "2026-11-20", "change": "first"}],
}
TEXTS = ("device", "intended_use", "users", "population", "reference_standard", "data_origin", "data_role")
TEXTS += ("preprocessing", "deviations")
OVERLONG = {
    **FULL,
    **dict.fromkeys((*TEXTS, "threat_model", "thresholds"), LONG),
    "population": "x" * 5000,
    "independence": {"statement": LONG, "independent": True, "sampling": "class-stratified"},
    "smoothing": {"in_release": False},
    "production": {
        "studies_a_day": [7, 10**7, 10**8, 10**9],
        "devices": [
            {
                "name": LONG[:900],
                "source": LONG[:900],
                "copies_per_second": 1.5,
                "watts": 999_999,
                "hour": {"amount": 999_999.5, "currency": LONG[:900], "date": "2026-10-01"},
            }
        ],
    },
    "risk_ids": [LONG] * 40,
    "approvals": [{"role": LONG, "name": LONG, "date": "2026-01-01"}] * 9,
    "revisions": [{"version": LONG, "date": "2026-01-01", "change": LONG}] * 9,
    "demonstration": True,
}
