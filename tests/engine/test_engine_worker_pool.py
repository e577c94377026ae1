"""Workers come, die, lie and refuse; each image has its one true line all the same, or the run stops with a reason."""

import random
from dataclasses import replace
from pathlib import Path

import pytest

from networks import small_request, write_random_images, write_resnet
from refusals import refuses
from smoothcert.engine import worker_pool as members
from smoothcert.engine.local import LocalEngine
from smoothcert.engine.messages import Closed, Died, Heartbeat, Ready, Refusal, Results
from smoothcert.engine.run import freeze_spec
from smoothcert.engine.worker_pool import MOST_GIVEN, WorkerPool, share_of
from smoothcert.engine.workload import load_workload
from smoothcert.errors import MissingExtraError, ModelError, RecipeError

from .fakepool import SAMPLES_PER_LINE, FakePool, as_sent

SIGMAS = (0.25, 0.5)
IMAGES = 40


@pytest.fixture(scope="module")
def sampled(tmp_path_factory):
    """Spec, images, and the line of every image, as the local engine samples it."""
    folder = tmp_path_factory.mktemp("fleet")
    data: Path = write_random_images(folder / "images.npz", IMAGES)
    work = load_workload(
        small_request(write_resnet(folder / "net.safetensors"), data, sigma=SIGMAS, k=(1, 2), n_max=200)
    )
    spec = freeze_spec(work)
    local = LocalEngine(spec, work)
    lines = [line for sigma in SIGMAS for wave in local.sample(sigma, spec.indices) for line in wave]
    return spec, work.images, {line.key: line for line in lines}


@pytest.fixture
def fleet_of(sampled):
    """A fleet over a pool, and what it wrote into the event log."""
    spec, images, _ = sampled

    def make(pool, workers=3):
        events = []
        fleet = WorkerPool(pool, spec, images, workers, None)
        return (
            fleet,
            events,
            lambda sigma: [line for some in fleet.sample(sigma, spec.indices, events.append) for line in some],
        )

    return make


def same(lines, known, sigma):
    """Whether lines are the known ones of a noise level, each once."""
    assert sorted(line.key for line in lines) == [(sigma, index) for index in range(IMAGES)]
    return all(line.to_json(seal=True) == known[line.key].to_json(seal=True) for line in lines)


@pytest.mark.parametrize("seed", range(20))
def test_workers_die_at_random_and_no_line_is_lost_or_doubled(sampled, fleet_of, seed):
    _, _, known = sampled
    rng = random.Random(seed)
    often = rng.choice([0.0, 0.05, 0.2])

    def strange(name, worker):
        return Died("killed") if rng.random() < often else None

    pool = FakePool(known, seed, strange)
    fleet, events, sample = fleet_of(pool, rng.randint(1, 5))
    for sigma in SIGMAS:
        assert same(sample(sigma), known, sigma)
    lost = [facts["worker"] for facts in events if facts["state"] == "lost"]
    assert sorted(lost) == sorted(pool.stopped)
    assert all(facts["reason"] == "killed" for facts in events if facts["state"] == "lost")
    assert all(worker.sigma is None for worker in pool.workers.values())  # every level was closed
    if not lost:
        assert fleet.samples == SAMPLES_PER_LINE * 2 * IMAGES


WRONG = {
    "no text": lambda line, name: None,
    "no line": lambda line, name: "{}",
    "half a line": lambda line, name: as_sent(line, name)[:-9],
    "another image": lambda line, name: as_sent(line, name, index=line.index + 1000),
    "another noise level": lambda line, name: as_sent(line, name, sigma=0.125),
    "another worker": lambda line, name: as_sent(line, "somebody"),
    "another recipe": lambda line, name: as_sent(line, name, recipe="abc"),
    "another label": lambda line, name: as_sent(line, name, label=(line.label + 1) % 4),
    "another picture": lambda line, name: as_sent(line, name, image="sha256:00"),
    "a group": lambda line, name: as_sent(line, name, group="A"),
    "a subgroup": lambda line, name: as_sent(line, name, subgroups={"sex": "f"}),
    "no selection": lambda line, name: as_sent(line, name, selection=None),
    "too many votes": lambda line, name: as_sent(line, name, selection={**line.selection, 0: 21}),
    "an unknown class": lambda line, name: as_sent(line, name, selection={4: 20}),
    "no time": lambda line, name: as_sent(line, name, seconds=float("nan")),
    "negative time": lambda line, name: as_sent(line, name, seconds=-1.0),
    "one look less": lambda line, name: as_sent(line, name, looks=line.looks[:-1]),
    "looks out of order": lambda line, name: as_sent(line, name, looks=line.looks[::-1] + line.looks[:1]),
    "votes that are taken back": lambda line, name: as_sent(line, name, looks=((100, {0: 100}), (150, {1: 150}))),
}


@pytest.mark.parametrize("how", WRONG)
def test_a_wrong_answer_is_not_written_and_its_images_are_done_again(sampled, fleet_of, how):
    _, _, known = sampled
    lied = []

    def strange(name, worker):
        if not (worker.told and len(worker.images) > 1) or lied:
            return None
        good, bad = (known[worker.sigma, worker.images.pop()] for _ in range(2))
        lied.append(bad)
        return Results((as_sent(good, name), WRONG[how](bad, name)), 14)

    pool = FakePool(known, strange=strange)
    _, events, sample = fleet_of(pool)
    assert same(sample(0.25), known, 0.25)
    assert lied
    (lost,) = (facts for facts in events if facts["state"] == "lost")
    assert lost["reason"].startswith("invalid result: ")
    assert pool.stopped == [lost["worker"]]


def test_sampling_on_after_the_decision_is_a_wrong_answer(sampled, fleet_of):
    """All votes are as they must be, but the image was decided one look before."""
    spec, _, known = sampled
    early = next(line for line in known.values() if line.looks and len(line.looks) < len(spec.looks))
    (n, votes), after = early.looks[-1], spec.looks[len(early.looks)]
    more = {**votes, early.label: votes.get(early.label, 0) + after - n}

    def strange(name, worker):
        if not worker.told or early.index not in worker.images or worker.sigma != early.sigma or lied:
            return None
        lied.append(name)
        return Results((as_sent(early, name, looks=(*early.looks, (after, more))),), 7)

    lied = []
    _, events, sample = fleet_of(FakePool(known, strange=strange))
    assert same(sample(early.sigma), known, early.sigma)
    assert "sampling went on after it was decided" in next(e["reason"] for e in events if e["state"] == "lost")


def test_an_image_answered_twice_is_a_wrong_answer(sampled, fleet_of):
    _, _, known = sampled
    twice = []

    def strange(name, worker):
        if not (worker.told and worker.images) or twice:
            return None
        line = as_sent(known[worker.sigma, worker.images.pop()], name)
        twice.append(line)
        return Results((line, line), 14)

    _, events, sample = fleet_of(FakePool(known, strange=strange))
    assert same(sample(0.25), known, 0.25)
    assert "it was not given" in next(e["reason"] for e in events if e["state"] == "lost")


def test_workers_that_only_lie_stop_the_run(sampled, fleet_of):
    _, _, known = sampled
    pool = FakePool(known, strange=lambda name, worker: Results(("{}",), 0) if worker.images else None)
    _, _, sample = fleet_of(pool)
    with refuses("E-RUN-012", match="3 workers sent invalid results.*smoothcert resume RUN"):
        sample(0.25)
    assert len(pool.stopped) == members.MOST_INVALID


def test_workers_that_only_die_stop_the_run(sampled, fleet_of):
    _, _, known = sampled
    pool = FakePool(known, strange=lambda name, worker: Died("out of memory"))
    _, _, sample = fleet_of(pool, 2)
    with refuses("E-RUN-012", match="7 workers ended one after the other.*out of memory\\..*smoothcert resume RUN"):
        sample(0.25)


def test_an_image_that_kills_every_worker_is_named(sampled, fleet_of):
    _, _, known = sampled
    pool = FakePool(known, strange=lambda name, worker: Died("crash") if 17 in worker.images else None)
    fleet, _, _ = fleet_of(pool, 2)
    done = []
    with refuses(
        "E-RUN-012",
        match="7 workers ended one after the other without a result; all of them had image 17; the last: crash",
    ):
        done.extend(line.index for some in fleet.sample(0.25, range(IMAGES), lambda _: None) for line in some)
    assert len(done) == len(set(done)) >= IMAGES - 6  # the others were not kept from being decided


@pytest.mark.parametrize("error", [ModelError("no", code="E-MODEL-001"), MissingExtraError("Reading it", "onnx")])
def test_the_error_of_a_worker_keeps_its_code(error):
    again = Refusal(type(error).__name__, str(error), error.code).error()
    assert (str(again), again.code) == (str(error), error.code)


@pytest.mark.parametrize("kind", [RecipeError, ModelError])
def test_who_cannot_load_is_left_out_while_others_can(sampled, fleet_of, kind):
    _, _, known = sampled
    refusal = Refusal(kind.__name__, "Worker ray-1 on there: no.")
    pool = FakePool(known, strange=lambda name, worker: refusal if name == "ray-1" and not worker.told else None)
    _, events, sample = fleet_of(pool)
    for sigma in SIGMAS:
        assert same(sample(sigma), known, sigma)
    left = [facts for facts in events if facts["state"] == "left out"]
    assert left == [{"worker": "ray-1", "state": "left out", "reason": refusal.text}]
    assert "ray-3" not in pool.workers  # nobody takes its place: the machine is as it is


def test_where_nobody_can_load_the_reason_is_raised(sampled, fleet_of):
    pool = FakePool(sampled[2], strange=lambda name, worker: Refusal("RecipeError", f"{name}: another torch."))
    _, _, sample = fleet_of(pool)
    with pytest.raises(RecipeError, match=r"ray-[012]: another torch"):
        sample(0.25)


def test_what_a_worker_meets_while_it_samples_stops_the_run(sampled, fleet_of):
    pool = FakePool(sampled[2], strange=lambda name, worker: Refusal("ModelError", "NaN.") if worker.images else None)
    _, _, sample = fleet_of(pool)
    with pytest.raises(ModelError, match=r"^NaN\.$"):
        sample(0.25)


def test_it_begins_with_those_for_whom_there_is_room(sampled, fleet_of):
    _, _, known = sampled
    pool = FakePool(known, never=frozenset({"ray-0", "ray-2"}))
    _, events, sample = fleet_of(pool)
    assert same(sample(0.25), known, 0.25)
    assert [facts["worker"] for facts in events] == ["ray-1"]


def test_no_room_at_all_is_said(sampled, fleet_of, monkeypatch):
    monkeypatch.setattr(members, "START_SECONDS", -1.0)
    _, _, sample = fleet_of(FakePool(sampled[2]))
    with refuses("E-RUN-012", match="no worker could be started"):
        sample(0.25)


def test_a_worker_that_stops_early_is_replaced(sampled, fleet_of):
    _, _, known = sampled
    stopped = []

    def strange(name, worker):
        if worker.images and not stopped:
            stopped.append(name)
            return Closed()
        return None

    _, events, sample = fleet_of(FakePool(known, strange=strange))
    assert same(sample(0.25), known, 0.25)
    assert "it stopped before" in next(e["reason"] for e in events if e["state"] == "lost")


class Clock:
    """Time that goes by only where a test says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def go_by(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch):
    found = Clock()
    monkeypatch.setattr(members, "time", found)
    return found


@pytest.mark.parametrize("answers", [True, False])
@pytest.mark.parametrize("when", ["with images", "at the end of a level"])
def test_a_worker_that_hangs_is_replaced(sampled, fleet_of, clock, when, answers):
    """Whether it says that it is no further, or says nothing at all."""
    _, _, known = sampled

    def still(name, worker):
        return name == "ray-1" and worker.sigma is not None and (bool(worker.images) or when != "with images")

    pool = FakePool(known, still=still, pass_time=clock.go_by)
    if not answers:
        pool.beat = lambda worker: None
    _, events, sample = fleet_of(pool)
    for sigma in SIGMAS:
        assert same(sample(sigma), known, sigma)
    (lost,) = (facts for facts in events if facts["state"] == "lost")
    assert lost["worker"] == "ray-1"
    assert lost["reason"] == "it finished no batch for 600 s"
    assert pool.stopped == ["ray-1"]
    assert 600 <= clock.now < 700


def test_the_time_can_be_set(sampled, clock):
    spec, images, known = sampled
    pool = FakePool(known, still=lambda name, worker: name == "ray-0" and bool(worker.images), pass_time=clock.go_by)
    fleet = WorkerPool(pool, spec, images, 2, None, 30)
    assert same([line for some in fleet.sample(0.25, spec.indices, lambda _: None) for line in some], known, 0.25)
    assert clock.now < 100


def test_a_slow_worker_that_goes_on_is_never_replaced(sampled, fleet_of, clock):
    """One batch in nine minutes, hours for a wave."""
    _, _, known = sampled
    since, told = {}, 0

    def still(name, worker):
        waits = worker.told and bool(worker.images)
        return waits and clock.now - since.setdefault((name, worker.samples // SAMPLES_PER_LINE), clock.now) < 7200

    def beat(worker):
        nonlocal told
        told += 1
        worker.asked = False
        return Heartbeat(10_000 + int(clock.now // 540))

    pool = FakePool(known, still=still, pass_time=clock.go_by)
    pool.beat = beat
    _, events, sample = fleet_of(pool, 2)
    assert same(sample(0.25), known, 0.25)
    assert {facts["state"] for facts in events} == {"joined"}
    assert clock.now > 7200
    assert told


def test_when_this_process_was_suspended_no_worker_is_blamed(sampled, fleet_of, clock):
    _, _, known = sampled
    pool = FakePool(known, pass_time=lambda _: clock.go_by(3600.0 * any(each.images for each in pool.workers.values())))
    _, events, sample = fleet_of(pool)
    assert same(sample(0.25), known, 0.25)
    assert {facts["state"] for facts in events} == {"joined"}


@pytest.mark.parametrize("left", [0, 1, 5, 77, 1000, 100_000])
@pytest.mark.parametrize("workers", [1, 2, 7, 300])
def test_a_share_is_never_more_than_a_workers_part_of_what_is_left(left, workers):
    share = share_of(left, workers, 6)
    assert share <= MOST_GIVEN
    assert (share - 1) * workers < max(left, 1)  # nobody else goes without
    assert share > 0 or left == 0
    assert share >= min(6, left // workers)


def test_workers_have_few_images_at_a_time(sampled, fleet_of):
    pool = FakePool(sampled[2])
    _, _, sample = fleet_of(pool, 2)
    sample(0.25)
    assert pool.most_given <= IMAGES // 4


def test_other_messages_of_a_stopped_worker_are_not_heard(sampled):
    spec, images, known = sampled
    fleet = WorkerPool(FakePool(known), spec, images, 1, None)
    assert fleet._take(None, "ray-9", Ready("there", 2)) == []


def test_lines_name_the_accepted_recipe(sampled):
    spec, images, known = sampled
    renamed = {key: replace(line, recipe="0123456789ab") for key, line in known.items()}
    fleet = WorkerPool(FakePool(renamed), spec, images, 2, "0123456789ab")
    lines = [line for some in fleet.sample(0.25, spec.indices, lambda _: None) for line in some]
    assert {line.recipe for line in lines} == {"0123456789ab"}
