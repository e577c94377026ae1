"""Signatures by ssh-keygen, and the fingerprint: what was sent can be told from what was forged later."""

import gzip
import hashlib
import shutil
import subprocess

import pytest

from factories import make_shard, simulate_run
from smoothcert.cli import main
from smoothcert.evidence import RunDirectory, merge, open_run
from smoothcert.evidence.creation import create_run
from smoothcert.evidence.events import LOCKED, SIGNED
from smoothcert.evidence.seal import evidence_text, fingerprint, in_groups, lock_text
from tampering import edit_lines, rechain

needs_keygen = pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="no ssh-keygen")


@pytest.fixture(scope="module")
def sealed(tmp_path_factory):
    return simulate_run(tmp_path_factory.mktemp("sealed") / "run", images=4)


@pytest.fixture
def run(sealed, tmp_path):
    return shutil.copytree(sealed, tmp_path / "run")


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    """Two keys, and a file that allows the first to sign."""
    folder = tmp_path_factory.mktemp("keys")
    for name in ("alice", "mallory"):
        made = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(folder / name)]
        subprocess.run(made, check=True)
    public = (folder / "alice.pub").read_text()
    (folder / "allowed").write_text(f'alice@lab.org namespaces="smoothcert" {public}')
    return folder


def code(*arguments):
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    return ended.value.code


def test_the_fingerprint_is_the_hash_of_the_first_finish_line_and_can_be_expected(run, capsys):
    lines = (run / "events.jsonl").read_bytes().splitlines()
    (line,) = (line for line in lines if b'"finish"' in line)
    found = fingerprint(RunDirectory(run))
    assert found == hashlib.sha256(line).hexdigest()
    assert code("verify", run) == 0
    assert in_groups(found) in capsys.readouterr().out
    for typed in (found, found[:16], in_groups(found), found[:32].upper(), f"{found[:8]}-{found[8:20]}"):
        assert code("verify", run, "--expect", typed) == 0
    assert code("verify", run, "--expect", "0" * 64) == 1
    assert code("verify", run, "--expect", found[:15] + "g") == 2
    assert code("verify", run, "--expect", found[:15]) == 2
    assert code("verify", run, "--expect", f"{found}0") == 2


def test_another_run_that_verifies_has_another_fingerprint(run):
    """Somebody with write access rewrites votes and log: only what was sent by another way tells."""
    found = fingerprint(RunDirectory(run))
    edit_lines(run, lambda lines: lines[0].update(image="sha256:" + "1" * 64))
    rechain(run)
    (run / "results" / "results.json").unlink()
    assert code("verify", run) == 0
    assert code("verify", run, "--expect", found) == 1


def test_a_run_that_is_not_sealed_has_no_fingerprint(tmp_path):
    run = simulate_run(tmp_path / "run", images=4, drop=1)
    assert fingerprint(RunDirectory(run)) is None
    assert code("verify", run) == 0
    assert code("verify", run, "--expect", "0" * 16) == 1


@needs_keygen
def test_a_signature_names_who_signed_and_for_what(run, keys, capsys):
    assert code("verify", run, "--allowed-signers", keys / "allowed") == 1
    assert code("sign", run, "--key", keys / "alice") == 0
    assert fingerprint(RunDirectory(run)) in capsys.readouterr().out
    assert code("verify", run) == 0
    capsys.readouterr()
    assert code("verify", run, "--allowed-signers", keys / "allowed") == 0
    assert "alice@lab.org" in capsys.readouterr().out
    assert code("verify", run, "--allowed-signers", keys / "allowed", "--signer", "alice@lab.org") == 0
    assert code("verify", run, "--allowed-signers", keys / "allowed", "--signer", "bob@lab.org") == 1
    path = run / "ledger" / "local-0.jsonl"
    path.with_name("local-0.jsonl.gz").write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()
    assert code("verify", run, "--allowed-signers", keys / "allowed") == 0
    assert code("sign", run, "--key", keys / "alice") == 2


def another_key(run, keys, other):
    (run / "evidence.sig").unlink()
    assert code("sign", run, "--key", keys / "mallory") == 0


def of_another_run(run, keys, other):
    assert code("sign", other, "--key", keys / "alice") == 0
    shutil.copy(other / "evidence.sig", run / "evidence.sig")


def forged_votes(run, keys, other):
    edit_lines(run, lambda lines: lines[0].update(image="sha256:" + "1" * 64))
    rechain(run)
    (run / "results" / "results.json").unlink()
    assert code("verify", run) == 0


FORGED = {
    "another key": another_key,
    "a signature of another run": of_another_run,
    "votes and log rewritten": forged_votes,
    "no signature": lambda run, keys, other: (run / "evidence.sig").unlink(),
    "something else": lambda run, keys, other: (run / "evidence.sig").write_text("-----BEGIN SSH SIGNATURE-----\n"),
    "a huge file": lambda run, keys, other: (run / "evidence.sig").write_bytes(b"0" * 200_000),
    "a folder": lambda run, keys, other: ((run / "evidence.sig").unlink(), (run / "evidence.sig").mkdir()),
}


@needs_keygen
@pytest.mark.parametrize("name", FORGED)
def test_what_nobody_allowed_signed_is_a_fault(run, keys, tmp_path, name):
    assert code("sign", run, "--key", keys / "alice") == 0
    FORGED[name](run, keys, simulate_run(tmp_path / "other", images=4, seed=1))
    assert code("verify", run, "--allowed-signers", keys / "allowed") == 1


@needs_keygen
def test_a_damaged_run_is_not_signed(run, keys):
    edit_lines(run, lambda lines: lines.pop())
    assert code("sign", run, "--key", keys / "alice") == 1
    assert not (run / "evidence.sig").exists()


def test_what_is_not_there_is_one_sentence(run, tmp_path, monkeypatch):
    assert code("sign", run, "--key", tmp_path / "none") == 2
    assert code("verify", run, "--allowed-signers", tmp_path / "none") == 2
    assert code("verify", run, "--signer", "alice") == 2
    (tmp_path / "key").touch()
    assert code("sign", simulate_run(tmp_path / "partial", images=4, drop=1), "--key", tmp_path / "key") == 2
    monkeypatch.setenv("PATH", str(tmp_path))
    assert code("sign", run, "--key", tmp_path / "key") == 2
    assert not (run / "evidence.sig").exists()


@needs_keygen
def test_a_file_that_is_no_key_signs_nothing(run, tmp_path):
    (tmp_path / "key").write_text("no key\n")
    (tmp_path / "key").chmod(0o600)
    assert code("sign", run, "--key", tmp_path / "key") == 2
    assert not (run / "evidence.sig").exists()


@pytest.fixture
def locked(keys, tmp_path):
    """A run whose lock alice signed before the first vote."""
    return simulate_run(tmp_path / "run", images=4, sign_lock=keys / "alice")


@needs_keygen
def test_the_lock_is_signed_before_the_first_vote(locked, keys, capsys):
    events = RunDirectory(locked).own_events()
    assert [event.event for event in events[:2]] == [LOCKED, SIGNED]
    assert code("verify", locked) == 0
    assert code("sign", locked, "--key", keys / "alice") == 0
    capsys.readouterr()
    assert code("verify", locked, "--allowed-signers", keys / "allowed") == 0
    assert capsys.readouterr().out.count("alice@lab.org") == 2


@needs_keygen
@pytest.mark.parametrize("way", ["missing", "another key", "another lock"])
def test_a_replaced_signature_of_the_lock_is_a_fault_without_any_key(locked, keys, tmp_path, way):
    (locked / "lock.sig").unlink()
    if way != "missing":
        key = keys / ("mallory" if way == "another key" else "alice")
        spec = open_run(locked).spec.model_copy(update={"seed": 99})
        other = create_run(tmp_path / "more", spec, {}, sign_lock=key)
        shutil.copy(other.path / "lock.sig", locked / "lock.sig")
    assert code("verify", locked) == 1


@needs_keygen
def test_a_signature_of_the_lock_by_another_key_is_a_fault(keys, tmp_path):
    run = simulate_run(tmp_path / "run", images=4, sign_lock=keys / "mallory")
    assert code("verify", run) == 0
    assert code("sign", run, "--key", keys / "alice") == 0
    assert code("verify", run, "--allowed-signers", keys / "allowed") == 1


@needs_keygen
def test_shards_keep_the_signatures_of_their_locks_when_they_are_merged(sealed, keys, tmp_path, monkeypatch, capsys):
    whole = open_run(sealed)
    monkeypatch.setattr("factories.create_run", lambda *given: create_run(*given, sign_lock=keys / "alice"))
    lines = list(whole.ledger.lines)
    parts = [make_shard(tmp_path / f"part{i}", whole, f"{i}/2", lines[i::2]) for i in range(2)]
    merged = merge(parts, tmp_path / "merged").path
    assert code("sign", merged, "--key", keys / "alice") == 0
    capsys.readouterr()
    assert code("verify", merged, "--allowed-signers", keys / "allowed") == 0
    assert capsys.readouterr().out.count("alice@lab.org") == 3
    (merged / "shards" / "shard-1-of-2" / "lock.sig").unlink()
    assert code("verify", merged) == 1


def test_what_is_signed_can_be_computed_by_hand(run):
    spec = hashlib.sha256((run / "spec.json").read_bytes()).hexdigest()
    log = (run / "events.jsonl").read_bytes().splitlines()
    ledger = open_run(run).ledger.sha256()
    assert evidence_text(RunDirectory(run)).decode().splitlines() == [
        "smoothcert evidence, version 1",
        f"spec.json SHA-256 {spec}",
        f"ledger SHA-256 {ledger}",
        f"fingerprint {hashlib.sha256(log[-1]).hexdigest()}",
    ]
    assert lock_text(run / "events.jsonl").decode().splitlines() == [
        "smoothcert lock, version 1",
        f"spec.json SHA-256 {spec}",
        f"lock event SHA-256 {hashlib.sha256(log[0]).hexdigest()}",
    ]
