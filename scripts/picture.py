"""Record the demo as `docs/demo.svg`: a film of a terminal, made from what the program really writes.

    make picture

The program runs on a terminal of its own (a pty). What it writes is played into a small screen, looked at several times
a second, and written as text that SVG itself shows and hides; waits are shortened, nothing else is altered.
"""  # noqa: INP001 - a program, no package

from __future__ import annotations

import argparse
import codecs
import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import time
from itertools import groupby, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from xml.sax.saxutils import escape

from rich.color import EIGHT_BIT_PALETTE  # type: ignore[attr-defined] # it is there, and nowhere public
from rich.terminal_theme import SVG_EXPORT_THEME

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ROOT = Path(__file__).parents[1]
WIDTH, HEIGHT = 92, 50
LOOK_EVERY_S = 0.5
LONGEST_WAIT_S = 1.0
LAST_S = 8.0
CHAR_W, LINE_H, MARGIN = 8.4, 19, 16
TOO_LARGE = 150_000

_TOKEN = re.compile(r"\x1b\[([?\d;]*)([A-Za-z])|([\r\n])|(\x1b.|[\x00-\x1f\x7f])|([^\x00-\x1f\x7f]+)", re.DOTALL)


class Style(NamedTuple):
    """How a character is drawn; no colour is the terminal's own."""

    color: str | None = None
    bold: bool = False
    dim: bool = False


PLAIN = Style()
Line = tuple[tuple[str, Style], ...]
"""Runs of characters of one style."""


class Screen:
    """As much of a terminal as the program uses: text, colours, cursor up, erase."""

    def __init__(self) -> None:
        self._rows: list[list[tuple[str, Style]]] = [[]]
        self._row = self._column = 0
        self._style = PLAIN

    def feed(self, text: str) -> None:
        """Take what the program has written."""
        for parameters, final, move, _other, words in _TOKEN.findall(text):
            if words:
                self._write(words)
            elif move:
                self._column = 0
                self._row += move == "\n"
            elif final == "m":
                self._restyle([int(each or 0) for each in parameters.split(";")])
            elif final:
                self._control(parameters, final)
            self._rows += [[] for _ in range(self._row + 1 - len(self._rows))]

    def lines(self) -> tuple[Line, ...]:
        """What stands there, blanks at the end of lines and of the screen left out."""
        found = []
        for row in self._rows:
            runs = [("".join(char for char, _ in run), style) for style, run in groupby(row, key=lambda cell: cell[1])]
            while runs and not runs[-1][0].strip():
                runs.pop()
            found.append(tuple(runs))
        while found and not found[-1]:
            found.pop()
        return tuple(found)

    def _write(self, words: str) -> None:
        row = self._rows[self._row]
        row += [(" ", PLAIN)] * (self._column - len(row))
        row[self._column : self._column + len(words)] = [(char, self._style) for char in words]
        self._column += len(words)

    def _control(self, parameters: str, final: str) -> None:
        if final == "A":
            self._row = max(0, self._row - int(parameters or 1))
        elif final == "K":
            del self._rows[self._row][0 if parameters == "2" else self._column :]
        elif final not in "hl":  # showing and hiding the cursor
            raise SystemExit(f"the screen does not know ESC[{parameters}{final}")

    def _restyle(self, codes: list[int]) -> None:
        while codes:
            match codes:
                case [0, *codes]:
                    self._style = PLAIN
                case [1, *codes]:
                    self._style = self._style._replace(bold=True)
                case [2, *codes]:
                    self._style = self._style._replace(dim=True)
                case [38, 2, red, green, blue, *codes]:
                    self._style = self._style._replace(color=f"#{red:02x}{green:02x}{blue:02x}")
                case [38, 5, number, *codes]:
                    self._style = self._style._replace(color=EIGHT_BIT_PALETTE[number].hex)
                case [code, *codes] if 30 <= code <= 37 or 90 <= code <= 97:  # noqa: PLR2004 - colours of terminals
                    number = code - 30 if code < 40 else code - 82  # noqa: PLR2004 - likewise
                    self._style = self._style._replace(color=SVG_EXPORT_THEME.ansi_colors[number].hex)
                case [39, *codes]:
                    self._style = self._style._replace(color=None)
                case _:
                    raise SystemExit(f"the screen does not know ESC[{';'.join(map(str, codes))}m")


class Look(NamedTuple):
    """The screen at a time, seconds from the start."""

    at: float
    lines: tuple[Line, ...]


def recorded(command: Sequence[str], prompt: str) -> list[Look]:
    """Run the command on a terminal; the screen whenever it has changed.

    Raises:
        SystemExit: the command failed; its last lines are told.
    """
    screen = Screen()
    screen.feed(f"\x1b[1m$ {prompt}\x1b[0m\r\n")
    looks = [Look(0.0, screen.lines())]
    began = time.monotonic()
    for text in _output(command):
        screen.feed(text)
        at, lines = time.monotonic() - began, screen.lines()
        if at - looks[-1].at < LOOK_EVERY_S:
            looks[-1] = Look(looks[-1].at, lines)
        elif lines != looks[-1].lines:
            looks.append(Look(at, lines))
    return looks


def _output(command: Sequence[str]) -> Iterator[str]:
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", HEIGHT, WIDTH, 0, 0))
    variables = {"TERM": "xterm-256color", "COLORTERM": "truecolor", "COLUMNS": str(WIDTH), "LINES": str(HEIGHT)}
    environment = {**os.environ, **variables}
    process = subprocess.Popen(command, stdout=slave, stderr=slave, stdin=slave, env=environment)  # noqa: S603 - ours
    os.close(slave)
    decoder = codecs.getincrementaldecoder("utf-8")()
    kept = ""
    while True:
        try:
            data = os.read(master, 65_536)
        except OSError:  # how a pty says that the program has ended
            break
        text = kept + decoder.decode(data)
        whole = len(text) if (start := text.rfind("\x1b")) < 0 or _TOKEN.match(text, start) else start
        kept = text[whole:]
        yield text[:whole]
    if process.wait() != 0:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}: no picture of that")


def quickened(looks: Sequence[Look]) -> list[Look]:
    """The same with shorter waits."""
    at, found = 0.0, [looks[0]]
    for before, look in pairwise(looks):
        at += min(look.at - before.at, LONGEST_WAIT_S)
        found.append(Look(at, look.lines))
    return found


def film(looks: Sequence[Look]) -> str:
    """The looks one after the other, as SVG that begins again at its end; what does not play it shows the last."""
    length = looks[-1].at + LAST_S
    height = max(len(look.lines) for look in looks)
    width, tall = WIDTH * CHAR_W + 2 * MARGIN, height * LINE_H + 2 * MARGIN
    texts = []
    for row in range(height):
        shown = [look.lines[row] if row < len(look.lines) else () for look in looks]
        for line, run in groupby(range(len(looks)), key=shown.__getitem__):
            numbers = list(run)
            begin = looks[numbers[0]].at
            end = looks[numbers[-1] + 1].at if numbers[-1] + 1 < len(looks) else length
            if line:
                texts.append(_text(row, line, begin / length, end / length, length))
    theme = SVG_EXPORT_THEME
    style = (
        "text{font:14px ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace;"
        f"white-space:pre;fill:{theme.foreground_color.hex}}}.b{{font-weight:bold}}.d{{opacity:.6}}"
    )
    return "\n".join(
        [
            '<svg xmlns="http://www.w3.org/2000/svg" xml:space="preserve"',
            f'viewBox="0 0 {width:.0f} {tall:.0f}" width="{width:.0f}">',
            f"<style>{style}</style>",
            f'<rect width="100%" height="100%" rx="8" fill="{theme.background_color.hex}"/>',
            *texts,
            "</svg>",
            "",
        ]
    )


def _text(row: int, line: Line, begin: float, end: float, length: float) -> str:
    spans = "".join(_span(words, style) for words, style in line)
    columns = sum(len(words) for words, _ in line)
    place = f'x="{MARGIN}" y="{MARGIN + LINE_H * (row + 0.75):.0f}" textLength="{columns * CHAR_W:.1f}"'
    last = end >= 1
    if last and begin == 0:
        return f"<text {place}>{spans}</text>"
    values, times = "hidden;visible", f"0;{begin:.4f}"
    if begin == 0:
        values, times = "visible;hidden", f"0;{end:.4f}"
    elif not last:
        values, times = f"{values};hidden", f"{times};{end:.4f}"
    playing = (
        f'<animate attributeName="visibility" calcMode="discrete" values="{values}" keyTimes="{times}" '
        f'dur="{length:.1f}s" repeatCount="indefinite"/>'
    )
    hidden = "" if last else ' visibility="hidden"'
    return f"<text {place}{hidden}>{spans}{playing}</text>"


def _span(words: str, style: Style) -> str:
    text = escape(words)
    classes = " ".join(name for name, is_so in (("b", style.bold), ("d", style.dim)) if is_so)
    shown = f' class="{classes}"' if classes else ""
    shown += f' style="fill:{style.color}"' if style.color else ""
    return f"<tspan{shown}>{text}</tspan>" if shown else text


def main() -> None:
    """Record, and write the picture."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--to", type=Path, default=ROOT / "docs" / "demo.svg", help="where the picture goes")
    parser.add_argument("--prompt", default="make demo", help="what the reader would type")
    parser.add_argument("command", nargs="*", help="the program; the demo unless given")
    given = parser.parse_args()
    command = given.command or [sys.executable, "-m", "streams", "demo"]
    picture = film(quickened(recorded(command, given.prompt)))
    if len(picture.encode()) > TOO_LARGE:
        raise SystemExit(f"{len(picture.encode()):,} bytes: more than the {TOO_LARGE:,} that a picture may have")
    given.to.write_text(picture, encoding="utf-8")
    sys.stdout.write(f"{given.to.name}: {len(picture.encode()):,} bytes\n")


if __name__ == "__main__":
    main()
