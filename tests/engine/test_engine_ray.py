"""Workers on a Ray cluster of this machine: the ledger of the local engine, and refusals that name the machine."""

import ipaddress
import os
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

import pytest

from networks import small_request, write_random_images, write_resnet
from refusals import refuses
from smoothcert.engine import ray as raycluster
from smoothcert.engine import resources as room
from smoothcert.engine import run as engines
from smoothcert.engine import run as runner
from smoothcert.engine import session
from smoothcert.engine import workload as work_module
from smoothcert.engine.resources import Placement, Workers
from smoothcert.engine.run import certify, resume
from smoothcert.engine.session import Hooks
from smoothcert.engine.workload import Workload
from smoothcert.errors import EvidenceError, InputError, ModelError, RecipeError
from smoothcert.evidence import open_run
from smoothcert.verify import verify

from .test_engine_resume import StoppedError, half, stop_after  # noqa: F401

needs_ray = pytest.mark.skipif(find_spec("ray") is None, reason="needs the extra `ray`")
RAY = Placement(engine="ray", workers=2)


@pytest.fixture(scope="module")
def cluster():
    """A Ray cluster that several tests share: what is initialised already is used, and left as it is."""
    import ray

    with pytest.MonkeyPatch.context() as patch:
        for name, value in raycluster.QUIET.items():
            patch.setenv(name, value)
        ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
        yield ray
        ray.shutdown()


def events_of(run, name="worker"):
    return [event.facts for event in run.directory.read_events() if event.event == name]


@needs_ray
@pytest.mark.slow
def test_one_worker_gives_the_ledger_of_the_local_engine(resnet, tmp_path):
    """The quick one: a cluster is started for the run, heard by this machine alone, and stopped."""
    import ray

    asked, before = small_request(*resnet, n_max=200), signal.getsignal(signal.SIGTERM)
    local = open_run(certify(asked, tmp_path / "local").path)
    heard = set()
    seen = Hooks(on_progress=lambda _: heard.update(listening()))
    there = open_run(certify(asked, tmp_path / "ray", seen, placement=Placement(engine="ray", workers=1)).path)
    assert len(heard) > 3
    assert all(ipaddress.ip_address(address).is_loopback for address, _ in heard), heard
    assert not {name for name in os.environ if name.startswith("RAY_AUTH")}
    assert there.ledger.sha256() == local.ledger.sha256()
    assert there.sealed
    assert {line.worker for line in there.ledger.lines} == {"ray-0"}
    (joined,) = events_of(there)
    assert (joined["state"], joined["node"]) == ("joined", socket.gethostname())
    assert joined["pid"] != os.getpid()
    assert [facts["copies"] for facts in events_of(there, "energy")] == [sum(x.samples for x in there.ledger.lines)]
    assert there.spec.to_json() == local.spec.to_json()
    assert not ray.is_initialized()
    assert signal.getsignal(signal.SIGTERM) is before


def listening():
    """Address and port at which this process and its descendants listen."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
    ours, size = {os.getpid()}, 0
    while len(ours) > size:
        size = len(ours)
        ours |= {pid for pid, parent in parents.items() if parent in ours}
    sockets = set()
    for pid in ours:
        with suppress(OSError):
            for file in os.scandir(f"/proc/{pid}/fd"):
                with suppress(OSError):
                    sockets.add(os.readlink(file.path))
    for table in ("tcp", "tcp6"):
        for row in Path("/proc/net", table).read_text().splitlines()[1:]:
            _, place, _, state, *_, inode = row.split()[:10]
            if state == "0A" and f"socket:[{inode}]" in sockets:
                address, _, port = place.partition(":")
                words = [bytes.fromhex(address[i : i + 8])[::-1] for i in range(0, len(address), 8)]
                found = ipaddress.ip_address(b"".join(words))
                yield str(getattr(found, "ipv4_mapped", None) or found), int(port, 16)


STRANGER = """
import sys
from ray._raylet import GcsClient
GcsClient(address=sys.argv[1]).internal_kv_get(b"session_name", b"session", timeout=5)
print("in")
"""


@needs_ray
@pytest.mark.slow
def test_who_does_not_know_the_token_stays_outside(monkeypatch):
    token = "1" * 64
    monkeypatch.setattr(raycluster.secrets, "token_hex", lambda _: token)
    with raycluster.connected(Workers(engine="ray", workers=1), "cpu", 0) as found:
        address = found.ray.get_runtime_context().gcs_address
        for mode, known in (("token", token), ("token", "0" * 64), ("disabled", "")):
            environment = os.environ | {"RAY_AUTH_MODE": mode, "RAY_AUTH_TOKEN": known}
            command = [sys.executable, "-c", STRANGER, address]
            said = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
            assert ("in" in said.stdout.split()) == (known == token), said.stderr


@needs_ray
@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_number_of_workers_changes_nothing(cluster, resnet, tmp_path, precision):
    data = write_random_images(tmp_path / "images.npz", 60)
    asked = small_request(resnet[0], data, precision=precision, sigma="0.25,0.5", k=(1, 2), radius=(0.02, 0.1))
    hashes, heard = set(), []
    for name, placement in {"local": None, "one": Placement(engine="ray", workers=1), "two": RAY}.items():
        seen = Hooks(on_progress=heard.append)
        run = open_run(certify(asked, tmp_path / name, seen, placement=placement).path)
        hashes.add(run.ledger.sha256())
        assert not list(verify(run.directory.path).faults)
    assert len(hashes) == 1
    assert {line.worker for line in run.ledger.lines} == {"ray-0", "ray-1"}
    assert (heard[-1].decided, heard[-1].total) == (120, 120)
    assert heard[-1].samples == heard[-1].decided_samples == sum(line.samples for line in run.ledger.lines)
    assert cluster.is_initialized()  # it was there before, so it stays


@needs_ray
@pytest.mark.slow
def test_every_engine_goes_on_with_what_another_began(cluster, resnet, tmp_path):
    asked = small_request(resnet[0], write_random_images(tmp_path / "images.npz", 60))
    whole = open_run(certify(asked, tmp_path / "whole").path).ledger.sha256()
    for name, first, second in (("a", None, RAY), ("b", RAY, None), ("c", RAY, RAY)):
        with pytest.raises(StoppedError):
            certify(asked, tmp_path / name, stop_after(20), placement=first)
        run = open_run(tmp_path / name)
        assert 20 <= len(run.ledger.lines) < 60
        resume(run.directory, {}, workers=None if second is None else Workers(engine="ray", workers=2))
        run = open_run(tmp_path / name)
        assert (run.sealed, run.missing, run.ledger.sha256()) == (True, 0, whole)
        assert not list(verify(run.directory.path).faults)


LATE = """
import torch
from torch import nn


class Late(nn.Module):
    # Sound on a few images, unsound on a whole batch of noisy copies.
    def __init__(self, spoil):
        super().__init__()
        self.spoil = spoil

    def forward(self, x):
        logits = x.mean(dim=(1, 2, 3))[:, None] * torch.tensor([1.0, 2.0, 3.0, 4.0])
        return self.spoil(logits) if len(x) == 64 else logits


def spoilt():
    return Late(lambda logits: logits + float("nan"))


def narrow():
    return Late(lambda logits: logits[:, 0])
"""


@needs_ray
@pytest.mark.slow
@pytest.mark.parametrize("net", ["spoilt", "narrow"])
def test_a_refusal_under_noise_is_the_local_engines(cluster, grey, tmp_path, net, monkeypatch):
    """NaN, and output of the wrong shape, met by the workers alone: every look before is left out."""
    (tmp_path / "late.py").write_text(LATE)
    monkeypatch.setattr(runner, "preflight", lambda *_: None)
    monkeypatch.setattr(session.Session, "_measure", lambda *_: None)
    monkeypatch.setattr(session.Session, "_test", lambda *_: None)
    told = []
    for name, placement in (("local", None), ("ray", RAY)):
        with pytest.raises(ModelError) as refused:
            certify(small_request(f"late:{net}", grey), tmp_path / name, placement=placement)
        told.append(str(refused.value))
        assert len(open_run(tmp_path / name).ledger.lines) == 0
    assert told[0] == told[1]


HERE = rf"Worker ray-[01] on {socket.gethostname()}: "


@needs_ray
@pytest.mark.slow
def test_a_worker_elsewhere_must_have_the_same_files(cluster, half, tmp_path, monkeypatch):  # noqa: F811
    with monkeypatch.context() as patch:
        other = str(write_resnet(tmp_path / "other.safetensors", seed=4))
        patch.setattr(Workload, "resolved", property(lambda work: work.request.model_copy(update={"model": other})))
        with pytest.raises(EvidenceError, match=HERE + r".*other\.safetensors is not the classifier of this run"):
            resume(half, {}, workers=RAY)
    with monkeypatch.context() as patch:
        patch.setattr(engines.os, "getcwd", lambda: str(tmp_path / "gone"))
        with pytest.raises(EvidenceError, match=HERE + r"Expected the folder .*gone, in which the run was started"):
            resume(half, {}, workers=RAY)
    before = open_run(half.path)
    assert {event.facts["state"] for event in half.read_events() if event.event == "worker"} == {"left out"}
    assert resume(half, {}, workers=RAY) is True
    assert len(open_run(half.path).ledger.lines) > len(before.ledger.lines)


@needs_ray
@pytest.mark.slow
def test_a_worker_must_compute_as_the_run_does(cluster, half, monkeypatch):  # noqa: F811
    choose = work_module.choose_recipe
    monkeypatch.setattr(
        work_module, "choose_recipe", lambda *asked: choose(*asked).model_copy(update={"instructions": "abacus"})
    )
    with pytest.raises(
        RecipeError, match=HERE + r"This machine's numeric recipe is not the run's: instructions abacus"
    ):
        resume(half, {}, accept_recipe=True, workers=RAY)
    assert not open_run(half.path).sealed


def test_what_is_refused_before_anything_is_loaded(tmp_path, monkeypatch):
    asked = small_request("missing:net", tmp_path / "missing.npz")
    for placement, reason in (
        (Placement(workers=2), r"--workers is for --engine ray"),
        (Placement(address="auto"), r"--address is for --engine ray"),
        (Placement(engine="ray", address="ray://head:10001"), r"expected auto or HOST:PORT"),
        (Placement(engine="ray", address="127.0.0.1:1"), r"No Ray cluster at 127\.0\.0\.1:1 .*ray start --head"),
    ):
        if placement.engine == "ray" and find_spec("ray") is None:
            continue
        with pytest.raises(InputError, match=reason):
            certify(asked, tmp_path / "run", placement=placement)
    assert not (tmp_path / "run").exists()
    monkeypatch.setattr(room, "find_spec", lambda name: None)
    with refuses("E-EXTRA-001", match="extra `ray`"):
        certify(asked, tmp_path / "run", placement=RAY)


@pytest.mark.parametrize(
    ("asked", "device", "nodes", "wanted"),
    [
        (None, "cpu", [{"CPU": 2.0}], (2, 1, 1, 0)),
        (1, "cpu", [{"CPU": 8.0}], (1, 8, 8, 0)),
        (2, "cpu", [{"CPU": 8.0, "GPU": 1.0}], (2, 4, 4, 0)),
        (5, "cpu", [{"CPU": 2.0}], (5, 1, 1, 0)),
        (4, "cpu", [{}, {"CPU": 4.0}, {"CPU": 16.0}], (4, 4, 4, 0)),  # the head has no cores to give
        (None, "cuda (A)", [{"CPU": 8.0, "GPU": 2.0}, {"CPU": 8.0, "GPU": 2.0}], (4, 4, 1, 1)),
        (None, "cuda (A)", [{"CPU": 8.0}], (1, 8, 1, 1)),  # GPUs may still come
    ],
)
def test_room(asked, device, nodes, wanted):
    found = room.resources_for(Workers(engine="ray", workers=asked), device, nodes)
    assert (found.workers, found.threads, found.cpus, found.gpus) == wanted
