"""Tables of older versions are compared under the headings of today, and each number still counts."""

import pytest

from smoothcert.report.documents.printed import RENAMED, PrintedTable, compare_tables
from smoothcert.verify.keys import Compared


def differences(written, computed):
    found = Compared()
    compare_tables([written], [computed], found)
    return found


@pytest.mark.parametrize(("old", "new"), RENAMED.items())
def test_a_column_under_its_old_heading_is_compared(old, new):
    today = PrintedTable(("sigma", "k", new), (("0.25", "1", "750"),))
    assert differences(PrintedTable(("sigma", "k", old), (("0.25", "1", "750"),)), today) == Compared()
    forged = differences(PrintedTable(("sigma", "k", old), (("0.25", "1", "751"),)), today)
    assert len(forged.wrong) == 1


def test_a_table_of_renamed_headings_only_is_recognised():
    written = PrintedTable(("copies mean", "noisy copies"), (("750", "18"),))
    computed = PrintedTable(("mean samples", "samples"), (("750", "19"),))
    assert len(differences(written, computed).wrong) == 1


def test_an_old_heading_that_is_still_used_keeps_its_meaning():
    both = PrintedTable(("change", "perturbation"), (("1", "2"),))
    assert differences(both, both) == Compared()


def test_numbers_agree_whatever_punctuation_follows_them():
    written = PrintedTable(("recipe", "value"), (("numeric", "fp32, 256 copies a batch"),))
    computed = PrintedTable(("recipe", "value"), (("numeric", "fp32, batches of 256, cpu"),))
    found = differences(written, computed)
    assert not found.wrong
    assert len(found.worded) == 1
