"""Energy of the device while it works: NVML for CUDA devices, RAPL for processors; else unknown, with the reason."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

POWERCAP = Path("/sys/class/powercap")
NVML, RAPL = "NVML", "RAPL"
_MICRO, _MILLI = 1e-6, 1e-3


@dataclass(frozen=True)
class Counter:
    """An energy counter of a device.

    Attributes:
        read: returns the count; raises OSError or RuntimeError where it cannot.
        unit: joules a count.
        wraps: count at which it starts again from 0, or None where it never does.
    """

    read: Callable[[], int]
    unit: float
    wraps: int | None = None


class Meter:
    """Adds up the energy of a device between `start` and `stop`; everything that runs on the device is in it."""

    def __init__(self, source: str, counters: tuple[Counter, ...] = ()) -> None:
        """Name what is read.

        Args:
            source: "NVML" or "RAPL", or why the energy is unknown.
            counters: the counters to add; none where the energy is unknown.
        """
        self.source = source
        self._counters, self._last, self._joules = counters, [0 for _ in counters], 0.0

    def start(self) -> None:
        """Begin at 0."""
        self._joules = 0.0
        self._last = [count for _, count in self._counts()]

    def poll(self) -> None:
        """Add what was used since the last call; often enough that no counter wraps twice in between (minutes)."""
        for i, (counter, count) in enumerate(self._counts()):
            used = count - self._last[i]
            if used < 0 and counter.wraps is not None:
                used += counter.wraps
            if used < 0:
                self._give_up(f"unknown: the {self.source} counter went back")
                return
            self._joules += used * counter.unit
            self._last[i] = count

    def stop(self) -> float | None:
        """Return the joules since `start`, or None where they are unknown; `source` then says why."""
        self.poll()
        if self._counters and self._joules <= 0:
            self._give_up(f"unknown: the {self.source} counter did not move")
        return self._joules if self._counters else None

    def _counts(self) -> list[tuple[Counter, int]]:
        try:
            return [(counter, counter.read()) for counter in self._counters]
        except (OSError, RuntimeError, ValueError) as error:
            self._give_up(f"unknown: {self.source} could not be read ({_reason(error)})")
            return []

    def _give_up(self, reason: str) -> None:
        self.source, self._counters, self._joules = reason, (), 0.0


def meter_of(device: str, powercap: Path = POWERCAP, nvml: Any = None) -> Meter:
    """Return the meter of a device, ready to start.

    Args:
        device: device of a numeric recipe, such as "cpu" or "cuda (NVIDIA H100)".
        powercap: folder of the processor's counters.
        nvml: the module `pynvml`; left out, it is imported where it is installed.
    """
    return _nvml_meter(nvml) if device.startswith("cuda") else _rapl_meter(powercap)


def _rapl_meter(powercap: Path) -> Meter:
    """Add the packages of the machine; their parts (`intel-rapl:0:0`) are in them already."""
    packages = [folder for folder in sorted(powercap.glob("intel-rapl:*")) if folder.name.count(":") == 1]
    try:
        counters = tuple(_package(folder) for folder in packages if _name(folder).startswith("package"))
    except PermissionError:
        return Meter("unknown: RAPL may not be read by this user")
    except (OSError, ValueError) as error:
        return Meter(f"unknown: RAPL could not be read ({_reason(error)})")
    return Meter(RAPL, counters) if counters else Meter("unknown: this machine reports no RAPL energy")


def _name(folder: Path) -> str:
    return (folder / "name").read_text(encoding="utf-8").strip()


def _package(folder: Path) -> Counter:
    def read() -> int:
        return int((folder / "energy_uj").read_text(encoding="utf-8"))

    read()
    wraps = int((folder / "max_energy_range_uj").read_text(encoding="utf-8")) + 1
    return Counter(read, _MICRO, wraps)


def _nvml_meter(nvml: Any) -> Meter:
    try:
        nvml = nvml or import_module("pynvml")
    except ImportError:
        return Meter("unknown: pynvml is not installed")
    try:
        nvml.nvmlInit()
        handle = nvml.nvmlDeviceGetHandleByUUID(_uuid())
        counter = Counter(lambda: _asked(nvml, handle), _MILLI)
        counter.read()
    except Exception as error:  # NVML has an error class of its own for every driver's refusal
        return Meter(f"unknown: NVML does not report it ({_reason(error)})")
    return Meter(NVML, (counter,))


def _asked(nvml: Any, handle: Any) -> int:
    """Return the device's energy since its driver was loaded, in mJ."""
    try:
        return int(nvml.nvmlDeviceGetTotalEnergyConsumption(handle))
    except nvml.NVMLError as error:
        raise RuntimeError(_reason(error)) from None


def _uuid() -> bytes:
    """Return the name by which NVML knows the device torch works on, whatever CUDA_VISIBLE_DEVICES hides."""
    import torch

    return f"GPU-{torch.cuda.get_device_properties(torch.cuda.current_device()).uuid}".encode()


def _reason(error: Exception) -> str:
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__).splitlines()[0]
