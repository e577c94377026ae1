"""Recording real commands in a pseudo-terminal, as an asciicast (version 2): who wrote what at which second."""

from __future__ import annotations

import codecs
import fcntl
import json
import os
import pty
import re
import struct
import sys
import termios
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PROMPT = "\x1b[1;32m$\x1b[0m "
CTRL_C = b"\x03"
_LOCAL = 3  # of what tcgetattr returns, the local modes


@dataclass(frozen=True)
class Recording:
    """What a terminal was sent.

    Args:
        columns: its width, characters.
        rows: its height, characters; more than anything recorded here needs, so that nothing scrolls.
        events: pairs (seconds since the beginning, text).
    """

    columns: int
    rows: int
    events: tuple[tuple[float, str], ...]

    def write(self, path: Path) -> None:
        """Write an asciicast, which players of terminal recordings read."""
        header = {"version": 2, "width": self.columns, "height": self.rows, "env": {"TERM": "xterm-256color"}}
        lines = [header, *([round(when, 3), "o", text] for when, text in self.events)]
        path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


class Recorder:
    """A terminal in a folder; commands typed into it are run for real."""

    def __init__(self, folder: Path, columns: int, rows: int) -> None:
        """Open an empty terminal; `folder` is the working directory, `columns` and `rows` its size."""
        self._folder, self._columns, self._rows = folder, columns, rows
        self._events: list[tuple[float, str]] = []
        self._began = time.monotonic()

    def recording(self) -> Recording:
        """What was recorded until now."""
        return Recording(self._columns, self._rows, tuple(self._events))

    def show(self, text: str) -> None:
        """Put text on the screen that no program wrote: the prompt, the command, a remark."""
        self._events.append((time.monotonic() - self._began, text.replace("\n", "\r\n")))

    def run(self, command: str, *, stop_at: float | None = None) -> None:
        """Type a command, run it, and record what it prints until it ends.

        Args:
            command: arguments separated by spaces.
            stop_at: press Ctrl-C once this share of its images is decided, as "12/36" beside its progress bar tells.

        Raises:
            RuntimeError: the command failed.
        """
        self.show(f"{PROMPT}{command}\n")
        pid, terminal = pty.fork()
        if pid == 0:
            try:
                self._become(command.split())
            finally:
                os._exit(127)  # only reached if the program cannot be started
        pressed = False
        for text in _read(terminal):
            self.show(text.replace("\r\n", "\n"))
            if stop_at is not None and not pressed and "━" in text and done_of(text) >= stop_at:
                pressed = bool(os.write(terminal, CTRL_C))
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        os.close(terminal)
        if code != (130 if pressed else 0):
            raise RuntimeError(f"`{command}` ended with status {code}")

    def _become(self, arguments: list[str]) -> None:
        """In the child: a terminal of this size, a plain environment, this interpreter's commands."""
        fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", self._rows, self._columns, 0, 0))
        mode = termios.tcgetattr(0)
        mode[_LOCAL] |= termios.NOFLSH  # else Ctrl-C may also throw away what the program prints when it is stopped
        termios.tcsetattr(0, termios.TCSANOW, mode)
        os.chdir(self._folder)
        bin_ = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        dropped = ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES", "CI")
        kept = {name: value for name, value in os.environ.items() if name not in dropped}
        os.execvpe(arguments[0], arguments, {**kept, "PATH": bin_, "TERM": "xterm-256color", "COLORTERM": ""})


def _read(terminal: int) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder("utf-8")()
    while True:
        try:
            data = os.read(terminal, 1 << 16)
        except OSError:  # Linux reports the end of a pseudo-terminal so
            return
        if not data:
            return
        yield decoder.decode(data)


def done_of(text: str) -> float:
    """The largest share "done/total" in a text, 0 without one; colours are ignored.

    >>> done_of("sigma 0.5 ━━━━ 9/36 0:00:02")
    0.25
    """
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)
    return max((int(a) / int(b) for a, b in re.findall(r"(\d+)/([1-9]\d*)", plain)), default=0.0)
