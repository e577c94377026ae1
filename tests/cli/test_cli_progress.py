"""Progress where there is no terminal: lines now and then, with a time left that a resumed run can be planned by."""

import io
import itertools

import pytest
from rich.console import Console

from smoothcert.cli import terminal
from smoothcert.cli.terminal import live
from smoothcert.engine.session import Progress


@pytest.fixture
def console(monkeypatch):
    """A console that is no terminal, and a clock that goes on by six seconds a look."""
    ticks = itertools.count(0.0, 6.0)
    monkeypatch.setattr(terminal.time, "monotonic", lambda: next(ticks))
    return Console(file=io.StringIO(), force_terminal=False)


def test_a_resumed_run_tells_the_time_left_at_its_own_pace(console):
    with live(console) as show:
        for lines in (1, 2, 20):
            show.sampling(Progress(0.5, 8_000 + lines, 12_000, lines, 5_000, 100_000, 1_000, 60.0))
    assert console.file.getvalue().splitlines() == [
        "sigma 0.5: 8002/12000 decided, 83 samples/s, 100.0 times fewer than fixed, 60 s, about 33 h 19 min left"
    ]


def test_before_a_line_is_decided_no_time_is_told(console):
    with live(console) as show:
        for samples in (512, 1_024, 1_536):
            show.sampling(Progress(0.5, 8_000, 12_000, 0, samples, 0, 0, 2.0))
    assert console.file.getvalue().splitlines() == ["sigma 0.5: 8000/12000 decided, 512 samples/s, 2 s"]


def test_the_last_line_is_always_told(console):
    with live(console) as show:
        show.sampling(Progress(1.0, 12, 12, 12, 1_200, 2_400, 1_200, 2.0))
    assert console.file.getvalue().splitlines() == [
        "sigma 1: 12/12 decided, 600 samples/s, 2.0 times fewer than fixed, 2 s, about 0 s left"
    ]


def test_fixed_sampling_is_not_compared_with_itself(console):
    with live(console) as show:
        show.sampling(Progress(0.5, 200, 200, 2, 2_000, 2_000, 2_000, 2.0))
    assert console.file.getvalue().splitlines() == ["sigma 0.5: 200/200 decided, 1,000 samples/s, 2 s, about 0 s left"]
