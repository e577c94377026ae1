"""Pictures of the terminal: the SVG shows the screen, the moving one each screen in its turn; nothing is fetched."""

import json
import re
from pathlib import Path
from types import ModuleType
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from .conftest import ROOT, scripts

FOLDER = ROOT / "docs" / "pictures"
MODULES = ("recording", "screens", "drawing", "terminal")
SVG = "{http://www.w3.org/2000/svg}"
COLUMNS = 40
FORKS = pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
"""Other tests of this process may have started threads; the recorder's child does nothing but become a program."""


@pytest.fixture(scope="module")
def pictures():
    """The modules of the script, by name."""
    with scripts(FOLDER, MODULES) as found:
        yield found


def screen_of(screens: ModuleType, text: str):
    """A screen with this text; words are runs of their own, every second one green and bold."""
    rows = []
    for line in text.split("\n"):
        words = enumerate(re.finditer(r"\S+", line))
        rows.append(tuple(screens.Run(m.start(), m[0], "green" if i % 2 else "default", bool(i % 2)) for i, m in words))
    return tuple(rows)


def text_of(drawing: ModuleType, elements) -> str:
    """The text a picture shows, put back into rows and columns from the places of its elements."""
    entries: dict[tuple[int, int], str] = {}
    for element in elements:
        if element.tag == f"{SVG}text" and element.get("text-anchor") is None:
            y = (float(element.get("y")) - drawing.BAR - drawing.MARGIN / 2) / drawing.LINE
            x = (float(element.get("x")) - drawing.MARGIN) / drawing.CHARACTER
            assert float(element.get("textLength")) == pytest.approx(len(element.text) * drawing.CHARACTER, abs=0.1)
            entries |= {(int(y), round(x) + i): character for i, character in enumerate(element.text)}
    rows = 1 + max((y for y, _ in entries), default=0)
    return "\n".join("".join(entries.get((y, x), " ") for x in range(COLUMNS)).rstrip() for y in range(rows))


LINES = st.lists(st.text("ab<&>\"' é", max_size=COLUMNS).map(str.rstrip), min_size=1, max_size=5)


@given(LINES.map("\n".join).map(str.rstrip))
def test_a_still_picture_shows_the_screen(pictures, text):
    drawn = pictures["drawing"].still(screen_of(pictures["screens"], text), COLUMNS, "a & b")
    assert text_of(pictures["drawing"], ElementTree.fromstring(drawn).iter()) == text


def test_box_characters_are_lines_of_their_width(pictures):
    drawing, run = pictures["drawing"], pictures["screens"].Run
    drawn = drawing.still(((run(2, "━━╸"), run(5, "━━━━", "3a3a3a")),), COLUMNS, "bar")
    (first, second) = (path.get("d") for path in ElementTree.fromstring(drawn).iter(f"{SVG}path"))
    begin, end = (float(x) for x in re.fullmatch(r"M([\d.]+) [\d.]+H([\d.]+)", first).groups())
    assert end - begin == pytest.approx(2.5 * drawing.CHARACTER, abs=0.1)
    assert float(second[1:].split()[0]) == pytest.approx(drawing.MARGIN + 5 * drawing.CHARACTER, abs=0.1)


def visible(tree, percent: float) -> list:
    """The elements a browser shows at this share of the time, by CSS's rules for keyframes with step-end."""
    css = tree.find(f"{SVG}style").text
    names = dict(re.findall(r"#(\w+)\{animation-name:(\w+)\}", css))
    shown = []
    for group in tree.iter(f"{SVG}g"):
        state = group.get("visibility", "visible")
        if name := names.get(group.get("id")):
            frames = re.search(rf"@keyframes {name}\{{((?:[^{{}}]*\{{[^{{}}]*\}})*)\}}", css)[1]
            stops = [(float(at), what) for at, what in re.findall(r"([\d.]+)%\{visibility:(\w+)\}", frames)]
            assert stops == sorted(stops)
            state = [what for at, what in stops if at <= percent][-1]
        if state == "visible":
            shown += list(group)
    return shown


@given(st.lists(LINES.map("\n".join).map(str.rstrip).filter(bool), min_size=1, max_size=6))
def test_a_moving_picture_shows_each_screen_in_its_turn(pictures, texts):
    drawing, screens = pictures["drawing"], pictures["screens"]
    frames = [screens.Frame(float(i), screen_of(screens, text)) for i, text in enumerate(texts)]
    seconds = [0.5] * (len(frames) - 1) + [3.0]
    tree = ElementTree.fromstring(drawing.moving(frames, seconds, COLUMNS, "title"))
    for i, text in enumerate(texts):
        middle = 100 * (sum(seconds[:i]) + seconds[i] / 2) / sum(seconds)
        assert text_of(drawing, visible(tree, middle)) == text
    still = [e for g in tree.iter(f"{SVG}g") if g.get("visibility") != "hidden" for e in g]
    assert text_of(drawing, still) == texts[-1], "without motion, the last screen stands"


def test_frames_are_picked_over_the_whole_time(pictures):
    frame = pictures["screens"].Frame
    seen = [frame(i / 10, ((),) * (1 + (i > 500))) for i in range(1001)]
    chosen = pictures["terminal"].pick(seen, 10)
    assert chosen[0] is seen[0]
    assert chosen[-1] is seen[-1]
    assert seen[501] in chosen
    assert [f.second for f in chosen] == sorted({f.second for f in chosen})
    assert len(chosen) == pytest.approx(12, abs=1)


def test_progress_is_read_beside_a_bar_only(pictures):
    run = pictures["screens"].Run
    assert pictures["terminal"].share(((run(0, "12/12 files"),), (run(0, "━━"), run(3, "9/36 0:00:01")))) == 0.25
    assert pictures["terminal"].share(((run(0, "1/2"),),)) == 0


PROGRAM = """
import sys, time
print("\\x1b[1mbold\\x1b[0m", sys.stdout.isatty(), flush=True)
try:
    for i in range(1, 200):
        print(f"\\r\\x1b[32m━━\\x1b[0m {i}/200", end="", flush=True)
        time.sleep(0.05)
except KeyboardInterrupt:
    print("\\nstopped")
    sys.exit(130)
"""


@FORKS
def test_a_command_is_recorded_and_interrupted(pictures, tmp_path: Path):
    pytest.importorskip("pyte")
    (tmp_path / "slow.py").write_text(PROGRAM)
    recorder = pictures["recording"].Recorder(tmp_path, COLUMNS, 10)
    recorder.run("python slow.py", stop_at=0.02)
    recording = recorder.recording()
    last = pictures["screens"].frames(recording)[-1].screen
    rows = [" ".join(run.text for run in row) for row in last]
    assert rows[:2] == ["$ python slow.py", "bold True"]
    assert rows[-1] == "stopped"
    assert last[1][0].bold
    assert last[2][0].colour == "green"
    recording.write(tmp_path / "slow.cast")
    header, *events = map(json.loads, (tmp_path / "slow.cast").read_text().splitlines())
    assert (header["version"], header["width"], header["height"]) == (2, COLUMNS, 10)
    assert "".join(text for _, _, text in events) == "".join(text for _, text in recording.events)


@FORKS
@pytest.mark.parametrize("command", ["python -c raise(SystemExit(3))", "no-such-program-here"])
def test_a_command_that_fails_makes_no_picture(pictures, tmp_path, command):
    with pytest.raises(RuntimeError, match="ended with status"):
        pictures["recording"].Recorder(tmp_path, COLUMNS, 10).run(command)


def test_the_pictures_are_whole_small_and_from_nowhere_else(pictures):
    for name in pictures["terminal"].PICTURES:
        text = (FOLDER / f"{name}.svg").read_text(encoding="utf-8")
        assert {element.tag.removeprefix(SVG) for element in ElementTree.fromstring(text).iter()} <= {
            *("svg", "style", "rect", "circle", "text", "path", "g")
        }
        assert re.findall(r"\w+://[^\"]*", text) == ["http://www.w3.org/2000/svg"]
        assert not re.search(r"url\(|@import|@font-face|(?<![\w.])/(work|tmp|home|root|Users)/", text)
        assert len(text) < 300_000
