"""The benchmark of betting runs on any population, and both rules certify what is clear."""

import sys
from pathlib import Path

import numpy as np

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))

import betting


def test_clear_images_are_certified_by_both_rules(tmp_path, monkeypatch, capsys):
    p = np.full((4, 5), 1e-6)
    p[np.arange(4), [0, 1, 2, 3]] = 1 - 4e-6
    np.savez(tmp_path / "population.npz", label=np.array([0, 1, 2, 4]), **{f"p{s}": p for s in (0.25, 0.5, 1.0)})
    monkeypatch.setattr(sys, "argv", ["betting.py", str(tmp_path / "population.npz")])
    betting.main()
    rows = [line for line in capsys.readouterr().out.splitlines() if line.endswith("+0.00 ± 0.00 |")]
    assert sum("| 75.00 | +0.00 ± 0.00 |" in row for row in rows) == len(rows) == 8 + 17
