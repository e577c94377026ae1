"""A clock that is set while a run is under way changes no vote, and no good run looks bad."""

import pytest

from smoothcert.evidence import open_run
from smoothcert.evidence.events import broken_link

from .driver import Process, certify_arguments, ledger_bytes, whole_lines
from .faults import TALLY, ClockJumps

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("hours", [48.0, -0.5, -48.0])
@pytest.mark.parametrize("after", [0.0, 2.5])
def test_the_clock_jumps(folder, undisturbed, calm_lines, hours, after):
    run = folder / "run"
    status, said = Process(folder, certify_arguments(run), pause=0.01, before=ClockJumps(hours, after)).wait()
    assert status == 0, said
    found = open_run(run)
    assert found.ledger.sha256() == undisturbed["fp32"]
    assert broken_link(found.directory.events) is None
    assert all(line.at >= found.events[0].at for line in found.ledger.lines)
    assert all(0 <= line.seconds < 60 for line in found.ledger.lines)  # durations come from a clock that is never set
    status, said = Process(folder, ["verify", str(run)]).wait()
    assert status == 0, said
    TALLY.count(f"clock set by {hours:+g} h", b"", ledger_bytes(run), calm_lines["fp32"])


def test_resumed_on_a_machine_whose_clock_is_behind(folder, undisturbed, calm_lines):
    run = folder / "run"
    process = Process(folder, certify_arguments(run), pause=0.02)
    while process.alive and not whole_lines(run):
        pass
    process.stop(9)
    process.wait()
    before = whole_lines(run)
    status, said = Process(folder, ["resume", str(run), "--trust-model"], before=ClockJumps(-48)).wait()
    assert status == 0, said
    found = open_run(run)
    assert found.ledger.sha256() == undisturbed["fp32"]
    assert all(line.at >= found.events[0].at for line in found.ledger.lines)  # or it looks as if locked afterwards
    assert [event.at for event in found.events] == sorted(event.at for event in found.events)
    status, said = Process(folder, ["verify", str(run)]).wait()
    assert status == 0, said
    TALLY.count("resumed with a clock behind", before, ledger_bytes(run), calm_lines["fp32"])
