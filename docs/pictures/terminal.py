"""Pictures of the command line for the README: real runs, recorded in a pseudo-terminal and drawn as SVG.

    pip install pyte
    python docs/pictures/terminal.py [--only status] [--images 12] [--into FOLDER] [--casts FOLDER]

`--images 12` is quick, for trying; without it the demo runs at its full size, and the status picture, which runs one
more to interrupt and resume it, takes 60 images. `--casts` also keeps the recordings, which any asciicast player shows.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from drawing import moving, still
from recording import Recorder, Recording, done_of
from screens import Frame, Screen, frames

HERE = Path(__file__).parent
COLUMNS, ROWS = 84, 80
RUN = "runs/demo"
MIDDLE, INTERRUPTED, STATUS_IMAGES = 0.55, 0.45, 60
STEPS, STEP_SECONDS, LAST_SECONDS = 30, 0.35, 8.0


def demo(images: int | None) -> str:
    """The command; `images` None leaves their number to it."""
    return f"smoothcert demo{f' --images {images}' if images else ''} --out {RUN}"


def record_demo(folder: Path, images: int | None) -> Recording:
    """The demo from its first line to its last."""
    recorder = Recorder(folder, COLUMNS, ROWS)
    recorder.run(demo(images))
    return recorder.recording()


def record_status(folder: Path, images: int | None) -> Recording:
    """Status of an interrupted run; then, resumed out of sight, its verification."""
    unseen, recorder = Recorder(folder, COLUMNS, ROWS), Recorder(folder, COLUMNS, ROWS)
    command = demo(images or STATUS_IMAGES)
    unseen.run(command, stop_at=INTERRUPTED)
    recorder.show(f"\x1b[90m# {command}  (interrupted with Ctrl-C)\x1b[0m\n")
    recorder.run(f"smoothcert status {RUN}")
    unseen.run(f"smoothcert resume {RUN}")
    recorder.show(f"\n\x1b[90m# smoothcert resume {RUN}  (its output is left out)\x1b[0m\n")
    recorder.run(f"smoothcert verify {RUN}")
    return recorder.recording()


def draw_end(seen: list[Frame]) -> str:
    """The last screen of the demo, from the finished progress bar on."""
    screen = seen[-1].screen
    bar = next((y for y, row in enumerate(screen) if share((row,)) == 1), 0)
    return still(screen[bar:], COLUMNS, f"smoothcert demo, after {seen[-1].second:.0f} s")


def draw_moving(seen: list[Frame]) -> str:
    """The demo from its first line to its last, faster than it was."""
    chosen = pick(seen, STEPS)
    seconds = [STEP_SECONDS] * (len(chosen) - 1) + [LAST_SECONDS]
    return moving(chosen, seconds, COLUMNS, "smoothcert demo")


def draw_status(seen: list[Frame]) -> str:
    """The last screen of status and verify."""
    return still(seen[-1].screen, COLUMNS, "smoothcert status, smoothcert verify")


RECORDINGS = {"demo": record_demo, "status": record_status}
PICTURES = {
    "demo-end": ("demo", draw_end),
    "demo-animated": ("demo", draw_moving),
    "status": ("status", draw_status),
}
"""Each picture: the recording it comes from, and how it is drawn."""


def share(screen: Screen) -> float:
    """How much of the work a screen says is done: "done/total" beside its progress bar, 0 without one."""
    bars = (" ".join(run.text for run in row) for row in screen if any("━" in run.text for run in row))
    return max((done_of(bar) for bar in bars), default=0.0)


def pick(seen: Sequence[Frame], steps: int) -> list[Frame]:
    """The first frame, those where the screen grew, the first in each of `steps` equal spans of time, and the last."""
    chosen, span = [seen[0]], seen[-1].second / steps
    for before, frame in pairwise(seen):
        grew = len(before.screen) != len(frame.screen)
        if grew or frame is seen[-1] or int(before.second / span) != int(frame.second / span):
            chosen.append(frame)
    return chosen


def main() -> None:
    """Record what is asked for, draw it, say where it lies."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=PICTURES, default=list(PICTURES), help="these pictures alone")
    parser.add_argument("--images", type=int, help="images of the demo; left out, as many as it has")
    parser.add_argument("--into", type=Path, default=HERE, help="folder of the pictures")
    parser.add_argument("--casts", type=Path, help="folder to keep the recordings in")
    asked = parser.parse_args()
    for name in dict.fromkeys(PICTURES[picture][0] for picture in asked.only):
        with tempfile.TemporaryDirectory() as folder:
            recording = RECORDINGS[name](Path(folder), asked.images)
        if asked.casts:
            asked.casts.mkdir(parents=True, exist_ok=True)
            recording.write(asked.casts / f"{name}.cast")
        seen = frames(recording)
        for picture in (picture for picture in asked.only if PICTURES[picture][0] == name):
            path = asked.into / f"{picture}.svg"
            path.write_text(PICTURES[picture][1](seen), encoding="utf-8")
            print(f"{path}: {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
