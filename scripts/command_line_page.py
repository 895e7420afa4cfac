"""Write the reference at the end of `docs/command-line.md` again, from the program's own help.

make docs
"""  # noqa: INP001 - a program, no package

from __future__ import annotations

import html
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "command-line.md"
MARK = "<!-- From here on made by scripts/command_line_page.py, from the program's own help. -->\n"


def reference() -> str:
    """All verbs with their options, as Markdown, without a title."""
    made = subprocess.run(
        [sys.executable, "-m", "typer", "streams.cli.app", "utils", "docs", "--name", "streams"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    # The guide above has the page's title; and nothing here could be taken for HTML.
    sections = html.unescape(made).partition("\n## ")[2].rstrip("\n")
    return f"\n## {sections}\n"


def document() -> str:
    """The page as it should be: its guide as it stands there, and the reference."""
    guide, mark, _ = PAGE.read_text(encoding="utf-8").partition(MARK)
    if not mark:
        sys.exit(f"{PAGE} has no line {MARK!r}")
    return guide + MARK + reference()


if __name__ == "__main__":
    PAGE.write_text(document(), encoding="utf-8")
