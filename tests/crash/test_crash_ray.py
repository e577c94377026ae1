"""Workers on Ray are killed, and the process that writes the ledger is: no line is lost, and none is another."""

import json
import os
import random
import signal
import time
from contextlib import suppress
from importlib.util import find_spec

import pytest

from smoothcert.evidence import RunDirectory, open_run
from smoothcert.evidence.events import broken_link

from .driver import IMAGES, Process, certify_arguments, start, wait_until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("ray") is None, reason="needs the extra `ray`"),
]
RAY = ["--engine", "ray", "--workers", "2"]
KILLS = 5


def workers(run, state):
    """What the event log says of workers that joined, or were lost; half a line at its end is not read."""
    try:
        text = (run / "events.jsonl").read_bytes()
    except FileNotFoundError:
        return []
    events = [json.loads(line) for line in text.split(b"\n")[:-1]]
    return [event for event in events if event["event"] == "worker" and event["state"] == state]


def at_work(run):
    lost = {event["worker"] for event in workers(run, "lost")}
    return [event for event in workers(run, "joined") if event["worker"] not in lost]


def lines(run):
    path = run / "ledger" / "ray.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


def decided(run):
    return len(RunDirectory(run).read_ledger().lines) if run.exists() else 0


@pytest.mark.parametrize("seed", [1, 2])
def test_workers_killed_at_random_moments(folder, undisturbed, seed):
    run, rng = folder / "run", random.Random(seed)
    process = start(folder, [*certify_arguments(run), *RAY], pause=0.02)
    for killed in range(KILLS):
        wait_until(lambda: bool(at_work(run)) or process.poll() is not None)
        time.sleep(rng.uniform(0, 0.6))
        assert process.poll() is None, "it ended before the last worker was killed"
        os.kill(rng.choice(at_work(run))["pid"], signal.SIGKILL)
        wait_until(lambda: len(workers(run, "lost")) > killed or process.poll() is not None)  # noqa: B023
    _, said = process.communicate(timeout=120)
    assert process.returncode == 0, said
    after = open_run(run)
    assert (after.sealed, after.missing, after.ledger.differing) == (True, 0, ())
    assert after.ledger.sha256() == undisturbed["fp32"]
    assert lines(run) == IMAGES  # each image once
    assert len(workers(run, "lost")) == KILLS
    assert said.count("are sampled again") == KILLS
    assert "Traceback" not in said
    assert broken_link(after.directory.events) is None


def test_a_worker_that_hangs_is_replaced(folder, undisturbed):
    """Stopped, not ended: neither it nor its cluster says anything."""
    run = folder / "run"
    process = start(folder, [*certify_arguments(run), *RAY, "--worker-timeout", "20"], pause=0.02)
    wait_until(lambda: decided(run) > 5 or process.poll() is not None)
    pid = at_work(run)[0]["pid"]
    os.kill(pid, signal.SIGSTOP)
    try:
        _, said = process.communicate(timeout=200)
        assert process.returncode == 0, said
        wait_until(lambda: not os.path.exists(f"/proc/{pid}"))
    finally:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    assert [event["reason"] for event in workers(run, "lost")] == ["it finished no batch for 20 s"]
    assert open_run(run).ledger.sha256() == undisturbed["fp32"]
    assert lines(run) == IMAGES


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.parametrize(("first", "second"), [(RAY, []), ([], RAY)])
def test_the_writer_is_stopped_and_another_engine_goes_on(folder, undisturbed, number, first, second):
    run = folder / "run"
    process = start(folder, [*certify_arguments(run), *first], pause=0.02)
    wait_until(lambda: decided(run) > 5 or process.poll() is not None)
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == (130 if number == signal.SIGTERM else -number)
    assert "Traceback" not in said
    pids = [event["pid"] for event in at_work(run)]
    wait_until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in pids))  # nobody goes on unasked
    before = open_run(run)
    assert 0 < len(before.ledger.lines) < IMAGES
    assert not before.sealed
    status, said = Process(folder, ["resume", str(run), "--trust-model", *second]).wait()
    assert status == 0, said
    after = open_run(run)
    assert after.ledger.sha256() == undisturbed["fp32"]
    kept = {line.key: line for line in after.ledger.lines}
    assert all(kept[line.key] == line for line in before.ledger.lines)
    assert len(list(after.ledger.lines)) == IMAGES


@pytest.fixture
def cluster():
    """A cluster of one machine with one core, as others may have started it; machines come and go."""
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("PAUSE", "0.03")  # workers have the environment of their machine, not of the run
        found = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
        yield found
        found.shutdown()


@pytest.mark.filterwarnings("ignore")  # of Ray's own test utility
def test_machines_join_and_leave(folder, undisturbed, cluster):
    run = folder / "run"
    process = start(folder, [*certify_arguments(run), *RAY, "--address", cluster.address])
    wait_until(lambda: bool(at_work(run)) or process.poll() is not None)
    time.sleep(1.0)
    assert len(at_work(run)) == 1  # there is room for one of two; it has begun
    machine = cluster.add_node(num_cpus=1)
    wait_until(lambda: len(at_work(run)) == 2 or process.poll() is not None)
    assert process.poll() is None
    cluster.remove_node(machine, allow_graceful=False)
    _, said = process.communicate(timeout=200)
    assert process.returncode == 0, said
    assert len(workers(run, "lost")) == 1
    assert open_run(run).ledger.sha256() == undisturbed["fp32"]
    assert lines(run) == IMAGES
    assert cluster.head_node.remaining_processes_alive()  # a cluster that was joined is not stopped
