"""The pages of the documentation, taken apart: blocks of code, command lines, links, tables."""

from __future__ import annotations

import ast
import re
import shlex
from typing import TYPE_CHECKING, Any, NamedTuple

from support.service.programs import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        *(page for page in (ROOT / "docs").rglob("*.md") if "node_modules" not in page.parts),
        *(ROOT / "schemas").rglob("*.md"),
    ]
)

_BLOCK = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```", re.DOTALL | re.MULTILINE)
_COMMENT = re.compile(r"(^|\s)#\s.*$")
_PLACEHOLDER = re.compile(r"\[(OPTIONS|ARGS)]|<[\w ]+>")


class Block(NamedTuple):
    """A fenced block and the line of the page that its text begins on."""

    page: Path
    line: int
    language: str
    text: str

    @property
    def name(self) -> str:
        """For people, and for the test's id."""
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks(*languages: str) -> list[Block]:
    """All blocks in these languages; all there are when none is named."""
    found = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for match in _BLOCK.finditer(text):
            line = text.count("\n", 0, match.start()) + 2
            found.append(Block(page, line, match[1], match[2]))
    return [block for block in found if not languages or block.language in languages]


class CommandLine(NamedTuple):
    """One command as the page shows it, in words, without variables before it."""

    where: str
    words: tuple[str, ...]

    @property
    def name(self) -> str:
        """For the test's id."""
        return f"{self.where} {' '.join(self.words)}"


def command_lines() -> list[CommandLine]:
    """Every command of `sh` blocks, of `console` blocks after their `$`, and of the help's examples."""
    found = []
    for block in blocks("sh", "console"):
        text = block.text.replace("\\\n", " ")
        lines = text.splitlines()
        if block.language == "console":
            lines = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
        found += [CommandLine(block.name, words) for line in lines for words in _commands(line)]
    for page in PAGES:
        examples = re.findall(r"^(?:.*\. )?Example: (.*)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
        found += [CommandLine(str(page.relative_to(ROOT)), words) for line in examples for words in _commands(line)]
    return found


def _commands(line: str) -> Iterator[tuple[str, ...]]:
    """The commands of a line, pipes and redirections apart; a line with a placeholder is none."""
    line = _COMMENT.sub("", line)
    if _PLACEHOLDER.search(line):
        return
    for part in re.split(r"\s\|\s|;|&&", re.sub(r"\s>\s?\S+", "", line)):
        words = shlex.split(part)
        while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
            words.pop(0)
        if words:
            yield tuple(words)


class Link(NamedTuple):
    """A link to a file of this repository; `anchor` is empty for the whole of it."""

    page: Path
    target: Path
    anchor: str


def links() -> list[Link]:
    """Every link that does not leave the repository."""
    found = []
    for page in PAGES:
        text = _BLOCK.sub("", page.read_text(encoding="utf-8"))
        for to in re.findall(r"\]\(([^)\s]+)\)", text):
            if "://" not in to:
                path, _, anchor = to.partition("#")
                found.append(Link(page, (page.parent / path).resolve() if path else page, anchor))
    return found


def anchors(page: Path) -> set[str]:
    """What a page's headings may be linked by."""
    headings = re.findall(r"^#+ (.*)$", _BLOCK.sub("", page.read_text(encoding="utf-8")), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in headings}


def tables(page: Path) -> Iterator[list[str]]:
    """Cells of every row of every table."""
    for line in page.read_text(encoding="utf-8").splitlines():
        if line.startswith("| "):
            yield [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip("|"))]


def raised(folder: Path, *names: str) -> Iterator[tuple[str, str]]:
    """Where one of these exceptions is raised with a text of its own, and that text with `...` for what differs."""
    for file in sorted(folder.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and _called(node) in names and node.args:
                text = template(node.args[0])
                if re.search(r"[a-z]{3}", text):
                    yield f"{file.relative_to(ROOT)}:{node.lineno}", text


def template(node: Any) -> str:
    """A string or f-string with `...` for what differs."""
    if isinstance(node, ast.JoinedStr):
        return "".join(template(value) for value in node.values)
    return str(node.value) if isinstance(node, ast.Constant) else "..."


def _called(node: ast.Call) -> str:
    return node.func.id if isinstance(node.func, ast.Name) else ""
