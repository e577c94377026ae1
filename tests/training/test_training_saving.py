import csv
from pathlib import Path

from smoothcert.training import EpochReport
from smoothcert.training.checkpoint import write_log

FIRST = EpochReport(1, 2, 0.2, 1.25, 0.5, 0.75, 0.5, 3.5)
SECOND = EpochReport(2, 2, 0.0002, 1.0, 0.625, None, None, 3.25)


def test_the_log_holds_every_epoch(tmp_path: Path) -> None:
    file = tmp_path / "w.csv"
    write_log(file, [FIRST])
    write_log(file, [FIRST, SECOND])
    rows = list(csv.DictReader(file.read_text(encoding="utf-8").splitlines()))
    assert rows[0] == {
        "epoch": "1", "epochs": "2", "rate": "0.2", "loss": "1.25", "accuracy": "0.5", "clean": "0.75", "noisy": "0.5",
        "seconds": "3.5",
    }  # fmt: skip
    assert (rows[1]["clean"], rows[1]["noisy"]) == ("", "")
    assert [path.name for path in tmp_path.iterdir()] == ["w.csv"]
