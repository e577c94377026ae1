"""Energy meters, on a fake tree of RAPL counters and a fake NVML; and what a run records of them."""

import pytest

from networks import small_request
from smoothcert.config import Production
from smoothcert.engine import local
from smoothcert.engine import measure as energy
from smoothcert.engine.measure import Counter, Meter, meter_of
from smoothcert.engine.run import certify
from smoothcert.evidence import open_run
from smoothcert.evidence.cost import basis_of
from smoothcert.evidence.events import ENERGY
from smoothcert.verify import verify

WRAPS = 262_143_328_850  # microjoules, as a package of a server reports it


def package(folder, number, count=0, wraps=WRAPS, name=None):
    """A package domain, with a part of it that must not be counted twice."""
    domain = folder / f"intel-rapl:{number}"
    for path, called in ((domain, name or f"package-{number}"), (folder / f"intel-rapl:{number}:0", "core")):
        path.mkdir(parents=True)
        (path / "name").write_text(f"{called}\n")
        (path / "max_energy_range_uj").write_text(f"{wraps}\n")
        (path / "energy_uj").write_text(f"{count}\n")
    return domain / "energy_uj"


def test_the_packages_of_a_machine_are_added(tmp_path):
    one, two = package(tmp_path, 0, 1_000_000), package(tmp_path, 1, 5)
    package(tmp_path, 2, name="psys")
    meter = meter_of("cpu", tmp_path)
    meter.start()
    one.write_text("3500000")
    meter.poll()
    one.write_text("4000000")
    two.write_text("500005")
    assert meter.stop() == pytest.approx(3.5)
    assert meter.source == "RAPL"
    meter.start()
    one.write_text("4000001")
    assert meter.stop() == pytest.approx(1e-6)


def test_a_counter_that_wraps_around_goes_on(tmp_path):
    counter = package(tmp_path, 0, WRAPS - 1_000_000)
    meter = meter_of("cpu", tmp_path)
    meter.start()
    counter.write_text("999999")  # the count after the largest is 0
    meter.poll()
    counter.write_text(str(WRAPS))
    meter.poll()
    counter.write_text("0")
    assert meter.stop() == pytest.approx((1_000_000 + 1 + WRAPS) / 1e6)


def unreadable(tmp_path, monkeypatch):
    package(tmp_path, 0)

    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.read_text", refuse)


def damaged(tmp_path, monkeypatch):
    package(tmp_path, 0).write_text("many")


def nothing(tmp_path, monkeypatch):
    pass


@pytest.mark.parametrize(
    ("machine", "reason"),
    [
        (nothing, "unknown: this machine reports no RAPL energy"),
        (unreadable, "unknown: RAPL may not be read by this user"),
        (damaged, "unknown: RAPL could not be read"),
    ],
)
def test_where_a_processor_reports_nothing_the_reason_is_given(tmp_path, monkeypatch, machine, reason):
    machine(tmp_path, monkeypatch)
    meter = meter_of("cpu", tmp_path)
    meter.start()
    meter.poll()
    assert meter.stop() is None
    assert meter.source.startswith(reason)


def test_a_counter_that_stands_still_or_goes_away_is_unknown_and_never_zero(tmp_path):
    still = meter_of("cpu", tmp_path / "still") if package(tmp_path / "still", 0, 7) else None
    still.start()
    assert still.stop() is None
    assert still.source == "unknown: the RAPL counter did not move"
    counter = package(tmp_path / "gone", 0)
    gone = meter_of("cpu", tmp_path / "gone")
    gone.start()
    counter.unlink()
    gone.poll()
    assert gone.stop() is None
    assert "No such file" in gone.source


class FakeError(Exception):
    pass


class FakeNvml:
    """An NVML whose one device counts millijoules, or refuses."""

    NVMLError = FakeError

    def __init__(self, counts, refuses=False):
        self.counts, self.refuses, self.asked = list(counts), refuses, []

    def nvmlInit(self):
        pass

    def nvmlDeviceGetHandleByUUID(self, uuid):
        self.asked.append(uuid)
        return uuid

    def nvmlDeviceGetTotalEnergyConsumption(self, handle):
        assert handle == self.asked[-1]
        if self.refuses or not self.counts:
            raise FakeError("Not Supported")
        return self.counts.pop(0)


@pytest.fixture
def named(monkeypatch):
    monkeypatch.setattr(energy, "_uuid", lambda: b"GPU-1234")


def test_a_cuda_device_counts_millijoules(named):
    nvml = FakeNvml([10, 1_000, 1_500, 91_000])
    meter = meter_of("cuda (NVIDIA H100)", nvml=nvml)
    meter.start()
    meter.poll()
    assert meter.stop() == pytest.approx(90.0)
    assert (meter.source, nvml.asked) == ("NVML", [b"GPU-1234"])


@pytest.mark.parametrize(
    ("nvml", "reason"),
    [
        (FakeNvml([], refuses=True), "unknown: NVML does not report it (Not Supported)"),
        (FakeNvml([1, 2]), "unknown: NVML could not be read (Not Supported)"),
        (FakeNvml([1, 900, 5]), "unknown: the NVML counter went back"),
        (FakeNvml([1, 5, 5]), "unknown: the NVML counter did not move"),
    ],
)
def test_where_nvml_refuses_the_reason_is_given(named, nvml, reason):
    meter = meter_of("cuda (NVIDIA H100)", nvml=nvml)
    meter.start()
    assert meter.stop() is None
    assert meter.source == reason


def test_nvml_is_never_required(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pynvml", None)
    assert meter_of("cuda (NVIDIA H100)").source == "unknown: pynvml is not installed"


def events(run):
    return [event.facts for event in open_run(run).events if event.event == ENERGY]


def test_a_run_records_its_energy_a_noise_level_and_verifies(grey, tmp_path, monkeypatch):
    counts = iter(range(0, 10**9, 500))
    meter = lambda device: Meter("RAPL", (Counter(lambda: next(counts), 1e-3),))  # noqa: E731
    monkeypatch.setattr(local, "meter_of", meter)
    certify(small_request("nets:robust", grey, sigma="0.25,0.5"), tmp_path / "run")
    found, run = events(tmp_path / "run"), open_run(tmp_path / "run")
    assert [facts["sigma"] for facts in found] == [0.25, 0.5]
    assert all(facts["joules"] > 0 and facts["source"] == "RAPL" for facts in found)
    for facts in found:
        assert facts["copies"] == sum(line.samples for line in run.ledger.at(facts["sigma"]))
    basis = basis_of(run, Production())
    assert basis.metered == basis.passes
    assert basis.joules_run == pytest.approx(sum(facts["joules"] for facts in found))
    assert verify(tmp_path / "run").passed


def test_where_nothing_is_reported_a_run_says_so(grey, tmp_path, monkeypatch):
    monkeypatch.setattr(local, "meter_of", lambda device: meter_of(device, tmp_path / "nothing"))
    certify(small_request("nets:robust", grey), tmp_path / "run")
    (facts,) = events(tmp_path / "run")
    assert (facts["joules"], facts["source"]) == (None, "unknown: this machine reports no RAPL energy")
    assert basis_of(open_run(tmp_path / "run"), Production()).joules is None
