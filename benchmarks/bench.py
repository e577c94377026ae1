"""Copies certified a second on this machine, and the cost of the same certificates: this engine and others.

Contestants run in turn, several rounds, so that a drift of the machine's speed falls on all of them; every measurement
is a process of its own, so that each has the memory allocator it would have. Writes benchmarks/README.md, a page of
the measured values alone, and README.json, every round's figures.

    python benchmarks/bench.py [--rounds 5] [--seconds 5] [--quick] [--out PAGE.md]
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, replace
from pathlib import Path

from figures import Measured, Scale, best, from_json, to_json
from page import page
from peer import MISSING, installed
from rich.console import Console
from rich.markdown import Markdown
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rounds import Bench

HERE = Path(__file__).parent
FULL = Scale(5, 5.0, 4096, (32, 64, 128, 256, 512, 1000), images=24, n_max=10_000, guarantee_rounds=3)
QUICK = Scale(1, 0.1, 512, (64, 1000), images=3, n_max=300, guarantee_rounds=1)


def measure(scale: Scale, command: str, trial: bool, console: Console) -> Measured:
    """Measure everything."""
    from machine import facts

    machine = facts()
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        bench = Bench(scale, progress)
        tried = bench.tried()
        sizes = {who: best(found) for who, found in tried.items() if found}
        rates, guarantees = bench.rates(sizes), bench.guarantees(sizes)
    return Measured(command, trial, machine, installed(), scale, tried, rates, guarantees)


def one(options: argparse.Namespace) -> None:
    """Make one measurement in this process and print it as JSON."""
    if options.rate:
        from contestants import Rate, rate

        print(json.dumps(rate(Rate(**json.loads(options.rate)))))
    else:
        from guarantee import Guarantee, certify

        print(json.dumps(asdict(certify(Guarantee(**json.loads(options.guarantee))))))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, help=f"rounds of the rates (default {FULL.rounds})")
    parser.add_argument("--seconds", type=float, help=f"time of each contestant in each (default {FULL.seconds:g})")
    parser.add_argument("--quick", action="store_true", help="a tiny trial run; writes no page without --out")
    parser.add_argument("--out", type=Path, help="page to write (default benchmarks/README.md), JSON beside it")
    parser.add_argument("--render", type=Path, metavar="JSON", help="write the page of an earlier run anew")
    parser.add_argument("--rate", help=argparse.SUPPRESS)
    parser.add_argument("--guarantee", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if any(given is not None and given <= 0 for given in (options.rounds, options.seconds)):
        parser.error("--rounds and --seconds: expected numbers above 0")
    return options


def scale_of(options: argparse.Namespace) -> Scale:
    scale = QUICK if options.quick else FULL
    scale = replace(scale, rounds=options.rounds or scale.rounds, seconds=options.seconds or scale.seconds)
    return replace(scale, guarantee_rounds=min(scale.guarantee_rounds, scale.rounds))


def main() -> None:
    options = arguments()
    if options.rate or options.guarantee:
        one(options)
        return
    console = Console()
    if options.render:
        measured = from_json(options.render.read_text(encoding="utf-8"))
    else:
        if installed() is None:
            console.print(MISSING + ".")
        scale = scale_of(options)
        words = f"python benchmarks/bench.py --rounds {scale.rounds} --seconds {scale.seconds:g}"
        measured = measure(scale, words + " --quick" * options.quick, options.quick, console)
    write(measured, options.out, console)


def write(measured: Measured, out: Path | None, console: Console) -> None:
    """Show the page, and write it and its figures; a trial run is written only where a path was given."""
    text = page(measured)
    console.print(Markdown(text))
    if out is None and measured.trial:
        return
    out = out or HERE / "README.md"
    out.write_text(text, encoding="utf-8")
    out.with_suffix(".json").write_text(to_json(measured), encoding="utf-8")
    console.print(f"Written: {out} and {out.with_suffix('.json').name}", highlight=False)


if __name__ == "__main__":
    main()
