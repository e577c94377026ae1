"""Time and memory of what reads a run, by its number of images; the runs are synthetic, their votes drawn (drawn.py).

Each verb is a process of its own; memory is the most it ever held. In brackets: bytes for each image more than in the
run above of as many classes. Runs are drawn in a process of their own, too: a process that starts another passes on the
memory it holds to the other's figure, so this one holds little.

    python benchmarks/scale.py [--images 10000 --images 100000] [--million] [--no-report] [--keep FOLDER]

A report also runs the notebook in a second process, whose memory is not in the figure of the first.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

VERBS = ("table", "status", "verify", "report")
RUN = "import sys; from smoothcert.cli import main; sys.exit(main())"


@dataclass(frozen=True)
class Wanted:
    """What a run is drawn for, as `drawn.Drawn` has it."""

    images: int
    classes: int = 8
    k: tuple[int, ...] = (1,)

    def draw(self, path: Path) -> float:
        """Write the run; return the seconds it took."""
        began = time.monotonic()
        subprocess.run([sys.executable, __file__, "--draw", json.dumps(asdict(self)), "--keep", path], check=True)
        return time.monotonic() - began


MANY_CLASSES = Wanted(50_000, classes=1000, k=(1, 5))


@dataclass(frozen=True)
class Used:
    """Wall-clock seconds, and most memory in bytes, of one process."""

    seconds: float
    memory: int


def measure(verb: str, run: Path) -> Used:
    """Run one verb in a process of its own.

    Raises:
        RuntimeError: it failed.
    """
    began = time.monotonic()
    process = subprocess.Popen([sys.executable, "-c", RUN, verb, str(run)], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"smoothcert {verb} {run}: exit status {process.returncode}")
    return Used(time.monotonic() - began, usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024))


def packed_bytes(path: Path) -> int:
    """Return how large gzip makes a file, at its usual level."""
    with tempfile.TemporaryFile() as target:
        with path.open("rb") as file, gzip.GzipFile(fileobj=target, mode="wb", compresslevel=6) as packed:
            while block := file.read(1 << 20):
                packed.write(block)
        return target.tell()


def rows(runs: Sequence[Wanted], verbs: Sequence[str], folder: Path) -> Iterator[str]:
    """Draw each run, measure each verb, and yield a line of the table as soon as it is known."""
    smaller: dict[int, tuple[int, dict[str, Used]]] = {}
    yield (
        "| images | classes | k | ledger MB (gzip) | drawn in s | "
        + " | ".join(f"{verb} s, MB" for verb in verbs)
        + " |"
    )
    yield "|" + "--:|" * (5 + len(verbs))
    for number, wanted in enumerate(runs):
        run = folder / str(number)
        drawn, ledger = wanted.draw(run), run / "ledger" / "drawn.jsonl"
        sizes = f"{ledger.stat().st_size / 1e6:,.1f} ({packed_bytes(ledger) / 1e6:,.1f})"
        ks = ", ".join(map(str, wanted.k))
        used = {verb: measure(verb, run) for verb in verbs}
        images, before = smaller.get(wanted.classes, (0, {}))
        entries = [_cell(each, before.get(verb), wanted.images - images) for verb, each in used.items()]
        smaller[wanted.classes] = wanted.images, used
        yield f"| {wanted.images:,} | {wanted.classes:,} | {ks} | {sizes} | {drawn:,.0f} | {' | '.join(entries)} |"


def _cell(used: Used, before: Used | None, more: int) -> str:
    grown = "" if before is None or more <= 0 else f" ({(used.memory - before.memory) / more:+,.0f} B)"
    return f"{used.seconds:,.1f}, {used.memory / 1e6:,.0f}{grown}"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, action="append", help="images of a run (default 10000 and 100000)")
    parser.add_argument("--million", action="store_true", help="a run of 1,000,000 images too")
    parser.add_argument(
        "--many-classes", action="store_true", help="a run of 50,000 images, 1,000 classes, k = 1, 5 too"
    )
    parser.add_argument("--no-report", action="store_true", help="leave out `report`, which takes longest")
    parser.add_argument("--keep", type=Path, help="a new folder for the runs; left out, they are deleted")
    parser.add_argument("--draw", help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    options = arguments()
    if options.draw:
        from drawn import Drawn, draw_run

        asked = json.loads(options.draw)
        draw_run(options.keep, Drawn(**{**asked, "k": tuple(asked["k"])}))
        return
    runs = [Wanted(images) for images in options.images or (10_000, 100_000)]
    runs += [Wanted(1_000_000)] * options.million + [MANY_CLASSES] * options.many_classes
    verbs = VERBS[:-1] if options.no_report else VERBS
    with tempfile.TemporaryDirectory(prefix="smoothcert-scale-") as own:
        folder = options.keep or Path(own)
        print("Synthetic runs: votes drawn from made-up probabilities, one sigma; no classifier, no image.", flush=True)
        for row in rows(runs, verbs, folder):
            print(row, flush=True)


if __name__ == "__main__":
    main()
