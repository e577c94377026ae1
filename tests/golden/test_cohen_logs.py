"""The published CIFAR-10 table of Cohen et al. (ICML 2019) from the four released logs."""

import csv
import re

import pytest

RADII = (0.25, 0.5, 0.75, 1.0, 1.25, 1.5)


def certified_accuracy(path):
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    assert len(rows) == 500
    return [sum(row["correct"] == "1" and float(row["radius"]) >= r for row in rows) / len(rows) for r in RADII]


def published(path):
    """{sigma: cells} of the Markdown table; stars and tags removed."""
    table = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if found := re.search(r"sigma; = ([0-9.]+)", line):
            entries = line.split("</b>|", 1)[1].rstrip("| ").split("|")
            table[found[1]] = [float(re.search(r"[0-9.]+", entry)[0]) for entry in entries]
    return table


@pytest.mark.parametrize("sigma", ["0.12", "0.25", "0.50", "1.00"])
def test_every_cell_to_two_decimals(shared_data, sigma):
    logs = shared_data / "locuslab_cifar10"
    ours = certified_accuracy(logs / f"noise_{sigma}_sigma_{sigma}.tsv")
    assert ours == pytest.approx(published(logs / "published_table.md")[sigma], abs=0.005 + 1e-9)
