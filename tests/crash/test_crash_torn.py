"""Half a line at the end of a file, as a power cut leaves it, is redone and never believed."""

import pytest

from smoothcert.config import make_request
from smoothcert.engine.run import certify, resume
from smoothcert.evidence import RunDirectory, open_run
from smoothcert.evidence.events import broken_link
from smoothcert.formats.line import parse_line

from .driver import write_inputs
from .faults import TALLY
from .faults import sealed as sealed_text


@pytest.fixture(scope="module")
def sealed(tmp_path_factory, request):
    """A sealed run of six images: its request, and the bytes of its ledger and events."""
    folder = tmp_path_factory.mktemp("sealed")
    write_inputs(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        asked = {"radius": 0.1, "n0": 20, "n_max": 200, "batch_size": 32, "seed": 5, "limit": 6, "device": "cpu"}
        images = str(folder / "images.npz")
        run = certify(make_request(model="slow:make", data=images, sigma=0.25, **asked), folder / "run")
        yield run, (run.ledger / "local-0.jsonl").read_bytes(), run.events.read_bytes()


def votes(ledger: bytes) -> set[str]:
    """The lines of a ledger without what may differ between equal runs."""
    return {parse_line(text.decode()).to_json(seal=True) for text in ledger.splitlines()}


def cut(run: RunDirectory, ledger: bytes, events: bytes) -> None:
    (run.ledger / "local-0.jsonl").write_bytes(ledger)
    run.events.write_bytes(events)


@pytest.mark.slow
def test_a_last_line_torn_at_any_byte_is_never_believed(sealed):
    """Every place at which a crash can leave the last line: what counts are the whole lines before it."""
    run, ledger, events = sealed
    *whole, last = ledger.splitlines(keepends=True)
    lines = {text for text in map(sealed_text, whole) if text}
    for keep in range(len(last)):
        cut(run, b"".join(whole) + last[:keep], events)
        seen = run.read_ledger()
        assert (len(seen.lines), seen.torn) == (5, int(keep > 0))
        assert {line.to_json(seal=True) for line in seen.lines} == lines
        TALLY.count("last line torn, read", b"".join(whole), b"".join(whole), lines)
    begin = events[: events[:-1].rfind(b"\n") + 1]
    for keep in range(len(begin), len(events)):  # the same for the last event: without its end there is no seal
        cut(run, ledger, events[:keep])
        assert run.seal() is None
        assert broken_link(run.events) is None
        TALLY.count("last event torn, read", ledger, ledger, lines | {sealed_text(last) or ""})
    cut(run, ledger, events)


@pytest.mark.parametrize("keep", [1, 25, 0.5, -2, -1])
def test_a_torn_last_line_is_sampled_again(sealed, keep):
    run, ledger, events = sealed
    *whole, last = ledger.splitlines(keepends=True)
    part = last[: int(len(last) * keep)] if isinstance(keep, float) else last[:keep]
    unsealed = b"".join(events.splitlines(keepends=True)[:-1])
    cut(run, b"".join(whole) + part, unsealed)
    seen = run.read_ledger()
    assert (len(seen.lines), seen.torn) == (5, 1)
    assert resume(run, {}, trust_model=True) is True
    after = open_run(run.path)
    cut_back = (run.ledger / "local-0.jsonl").read_bytes()
    assert cut_back.startswith(b"".join(whole))
    assert (len(after.ledger.lines), after.ledger.torn, after.sealed) == (6, 0, True)
    assert after.directory.seal().facts["ledger_sha256"] == after.ledger.sha256()
    assert votes(cut_back) == votes(ledger)


def test_a_torn_event_is_cut_off_and_the_chain_holds(sealed):
    run, ledger, events = sealed
    lines = events.splitlines(keepends=True)
    cut(run, ledger, b"".join(lines[:-1]) + lines[-1][:40])
    assert run.seal() is None
    assert resume(run, {}, trust_model=True) is True
    assert broken_link(run.events) is None
    assert run.seal() is not None


def test_an_empty_ledger_file_is_a_fresh_start(sealed):
    run, ledger, events = sealed
    cut(run, b"", b"".join(events.splitlines(keepends=True)[:-1]))
    assert resume(run, {}, trust_model=True) is True
    assert votes((run.ledger / "local-0.jsonl").read_bytes()) == votes(ledger)
