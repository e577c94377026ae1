"""The wording check: every phrase of the reviewed list, what it spares, and the rules of structure."""

import pytest

from report.memo_runs import CRITERIA, FULL, OVERLONG, PRIMARY, memo_run
from smoothcert.report import claims
from smoothcert.report.memo import make_memo, make_sponsor
from smoothcert.report.memo.blocks import DOES_NOT, Grid, Prose
from smoothcert.report.memo.text import references
from smoothcert.report.memo.wording import REFUSED, check_text, refused

BAD = """The classifier is immune.
The model is immune to attacks.
An invulnerable reader.
It is unhackable.
This device is attack-proof.
It is robust to all attacks.
It is robust to any attack.
The guaranteed accuracy is high.
The device is certified safe.
It is safe.
An FDA-approved method.
An FDA-cleared method.
It complies with Regulation (EU) 2017/745.
It satisfies the standard.
It meets the requirements of the AI Act.
It conforms to ISO/IEC 24029-2.
A certified device.
The certified model.
99.9 % of certificates are right.
It cannot be fooled.
The changes are imperceptible.
There is no residual risk.
The best sigma is 0.5.
The optimal sigma was chosen.
It is significantly better.
At r = 1 it is 0 %, not attainable.
The model was validated.
A validated classifier.
Images of the validation set.
The ground truth is known.
The vulnerable images are listed.
An unbiased estimate.
It is fair to all.
State-of-the-art accuracy.
The state of the art.""".splitlines()

GOOD = """A patient with immune thrombocytopenia.
Cells of the immune system.
A safety margin of the alarm.
weights/r20.safetensors
The reference standard was a validated assay.
The reader meets twice a week.
images.npz#val
The prefair hospital.
The certified object is the smoothed classifier.
Images certified at r are counted.""".splitlines()


@pytest.mark.parametrize("sentence", BAD)
def test_the_reviewed_list_is_refused(sentence):
    assert [each.reason for each in check_text(sentence, "here")]


@pytest.mark.parametrize("sentence", GOOD)
def test_other_uses_are_spared(sentence):
    assert not list(check_text(sentence, "here"))


def test_every_pattern_is_hit_by_the_list_and_has_a_reason():
    hit = {each.reason for sentence in BAD for each in check_text(sentence, "here")}
    assert hit == {reason for _, reason in REFUSED}


def test_reviewed_sentences_and_titles_are_spared():
    assert not list(check_text(claims.ONE_SUPPLY, "here"))
    assert not [each for title in references() for each in check_text(title, "here")]
    assert list(check_text(claims.ONE_SUPPLY.replace("does not by itself show", "shows"), "here"))


def page(text):
    return ((Prose(text),),)


@pytest.mark.parametrize(
    "text",
    [
        "Certified accuracy is 82 %.",
        "Certified accuracy is 82 % at r = 0.5.",
        "Certified accuracy is 82 % at r = 0.5 and sigma 0.25.",
        "At sigma 0.5, 82 % of 1,000 noise samples and images were certified.",
        "82 % of 60 tissue samples were certified at r = 0.5 and sigma 0.25.",
        "It is adversarially robust.",
        "It is provably robust at L2 radius 0.5.",
        "This holds with 95 % confidence.",
    ],
)
def test_a_claim_without_its_conditions_is_refused(text):
    assert refused(page(text), make_sponsor({}))


@pytest.mark.parametrize(
    "text",
    [
        "Certified accuracy is 82 % at r = 0.5 (sigma 0.25, up to 1,000 noise samples).",
        "It is adversarially robust in L2 below radius 0.5.",
        "It is provably robust in L2 below radius 0.5 at alpha 0.001.",
        "This holds with confidence over the draw of images.",
        "Intervals are at 95 % Clopper-Pearson level, whatever was certified.",
    ],
)
def test_a_claim_with_its_conditions_passes(text):
    assert not refused(page(text), make_sponsor({}))


def test_the_does_not_column_is_exempt_by_place_only():
    row = ("accuracy", "guaranteed accuracy", "guaranteed accuracy")
    grid = Grid(("topic", "does", "does not"), (row,), (1, 1, 1), places={2: DOES_NOT})
    assert len(refused(((grid,),), make_sponsor({}))) == 1


def test_the_sponsors_full_text_is_checked_also_where_the_memo_cuts_it():
    hidden = {"intended_use": "a reader of smears " * 200 + "that cannot be fooled"}
    found = refused(page("nothing"), make_sponsor(hidden))
    assert [each.words for each in found] == [
        'sponsor.yaml, intended_use: the wording "cannot be fooled" is refused: beyond r nothing is claimed'
    ]


@pytest.mark.slow
@pytest.mark.parametrize("fields", [{}, FULL, OVERLONG])
@pytest.mark.parametrize(
    "request_",
    [{}, {"primary": PRIMARY, "criteria": CRITERIA}, {"drop": 7}, {"noise": "float"}, {"radius": "3,4"}, {"k": "1,3"}],
)
def test_the_memo_itself_passes(tmp_path, request_, fields):
    memo = make_memo(memo_run(tmp_path / "run", images=12, **request_), make_sponsor(fields))
    assert refused(memo.pages, memo.sponsor) == []


def test_a_refused_phrase_keeps_the_memo_a_draft_and_is_counted(tmp_path):
    memo = make_memo(memo_run(tmp_path / "run", images=8), make_sponsor({**FULL, "device": "The unhackable reader"}))
    assert "the wording check refuses 1 phrase (" in memo.fields["reasons"].printed
