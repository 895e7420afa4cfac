"""What the documentation says exists, and is called so."""

from __future__ import annotations

import ast
import json
import re
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
import typer

from streams import codec, metrics
from streams.cli.app import app
from streams.cli.records import command_of
from streams.config import Settings, variable
from streams.gateway.api.openapi import document
from support import pages
from support.pages import PAGES, Block, CommandLine, Link
from support.service.programs import ROOT, script

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

LANGUAGES = {"", "python", "sh", "console", "json"}
BESIDES = {"STREAMS_DEBUG", "STREAMS_TEST_SCALE", "STREAMS_TEST_EXAMPLES", "STREAMS_KAFKA_"}
"""Variables that are not settings."""
TOOLS = {"curl", "docker", "export", "make", "streams"}
ELSEWHERE = ("kafka-acls.sh", "kafka-configs.sh", "kafka-consumer-groups.sh", "kafka-transactions.sh")
"""Kafka's own programs: `test_runbooks.py` and `test_secure_kafka.py` run them."""
BUILT_BY_STACK_TESTS = {"go", "java", "javascript"}
CODES = {
    "invalid_<field>",
    "not_supported",
    "conflicting_invoke",
    "newer_engine",
    "too_large",
    "not_writable",
    "clock_ahead",
    "page_too_long",
    "batch_id_conflict",
    "unknown_batch",
    *codec.errors.Code.__args__,  # type: ignore[attr-defined]
}


def _name(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_a_page_has_blocks_of_known_languages_only(page: Path) -> None:
    """A language that no test knows would be a block that no test runs."""
    assert {block.language for block in pages.blocks() if block.page == page} <= LANGUAGES


@pytest.mark.parametrize("link", pages.links(), ids=lambda link: f"{_name(link.page)} {link.target.name}#{link.anchor}")
def test_a_link_leads_somewhere(link: Link) -> None:
    """The file is there, and the heading in it."""
    assert link.target.exists()
    assert not link.anchor or link.anchor in pages.anchors(link.target)


def test_every_page_is_reached_from_the_index() -> None:
    """A page that nothing links to does not exist for a reader."""
    linked = {link.target for link in pages.links() if link.page.parent == ROOT / "docs"}
    assert {page for page in PAGES if page.parent in {ROOT / "docs", ROOT / "docs" / "decisions"}} <= linked | {
        ROOT / "docs" / "README.md"
    }


def parsed(words: Sequence[str]) -> None:
    """Read the words as the program does, without doing anything.

    Raises:
        UsageError: as on the command line.
    """
    command = typer.main.get_command(app)
    context = command.make_context("streams", list(words))
    while hasattr(command, "resolve_command"):
        name, command, rest = command.resolve_command(context, [*context._protected_args, *context.args])
        context = command.make_context(name, rest, parent=context)


@pytest.mark.parametrize("line", pages.command_lines(), ids=lambda line: line.name)
def test_a_command_line_is_one_that_the_program_takes(line: CommandLine) -> None:
    """Verbs, options and their values are read by the program itself; `make` has the target, compose the profile."""
    if line.where.startswith("docs/examples/") and line.where.split("/")[2] in BUILT_BY_STACK_TESTS:
        return
    tool, *words = line.words
    match tool:
        case "streams":
            parsed(words)
        case "make":
            assert re.search(rf"^{words[0]}:", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE)
        case "docker":
            _check_compose(words)
        case "curl":
            (address,) = [word for word in words if re.match(r"(http://)?localhost:", word)]
            assert re.search(r"/(metrics|health/live|health/ready)$", address) or _is_route(address)
        case _:
            assert tool in TOOLS or tool in ELSEWHERE


def _is_route(address: str) -> bool:
    """True if it is a route of the API; `test_http_page.py` sends the requests of the page about it."""
    path = address.partition("/api/")[2].partition("?")[0]
    patterns = (re.sub(r"\\{\w+\\}", "[^/]+", re.escape(each)) for each in document()["paths"])
    return any(re.fullmatch(pattern, f"/api/{path}") for pattern in patterns)


def _check_compose(words: Sequence[str]) -> None:
    assert words[0] == "compose"
    stack = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    for option, value in pairwise(words):
        if option == "--profile":
            assert f"profiles: [{value}]" in stack
    services = set(re.findall(r"^  ([\w-]+):$", stack, flags=re.MULTILINE))
    named = [word for word in words if re.fullmatch(r"(worker|gateway|kafka|topics|load|executor)(-\d)?", word)]
    assert set(named) <= services


@pytest.mark.parametrize("block", pages.blocks("python"), ids=lambda block: block.name)
def test_a_python_block_is_a_whole_program(block: Block) -> None:
    """It imports what it uses from `streams`; `test_programs.py` runs it."""
    tree = ast.parse(block.text)
    modules = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert "streams.config" in modules


@pytest.mark.parametrize("block", pages.blocks("json", "console", ""), ids=lambda block: block.name)
def test_json_that_is_shown_is_json(block: Block) -> None:
    """Objects are whole, and a command in them is one that `send` takes."""
    lines = [block.text] if block.language == "json" else block.text.splitlines()
    for line in lines:
        if line.startswith("{"):
            shown = json.loads(line)
            command = shown.get("record", shown)
            if isinstance(command, dict) and "type" in command:
                command_of(json.dumps(command).encode())


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_names_that_a_page_uses_exist(page: Path) -> None:
    """Settings, metrics and tests are called as the page says."""
    text = page.read_text(encoding="utf-8")
    settings = {variable(field) for field in Settings.model_fields if field != "kafka"} | BESIDES
    named = set(re.findall(r"\bSTREAMS_[A-Z_]+[A-Z]\b", text))
    assert {each for each in named if not each.startswith("STREAMS_KAFKA_")} <= settings
    served = {each.name for role in metrics.ROLES for each in metrics.metrics_of(role)}
    assert set(re.findall(r"`(streams_[a-z_]+)`", text)) <= served
    for file, test in re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", text):
        source = (ROOT / file).read_text(encoding="utf-8")
        assert re.search(rf"^(?:async )?def {test or 'test_'}", source, flags=re.MULTILINE), (file, test)


def test_every_promise_names_a_test() -> None:
    """In the page of guarantees a table of promises or faults has a test in each row."""
    page = ROOT / "docs" / "guarantees.md"
    promised = page.read_text(encoding="utf-8").partition("## Not promised")[0]
    rows = [line for line in promised.splitlines() if line.startswith("| ") and "| test |" not in line]
    rows = [line for line in rows if "---" not in line]
    assert len(rows) > 20
    assert [line for line in rows if "`tests/" not in line] == []


def test_every_message_that_stops_a_worker_is_on_the_page_of_operations() -> None:
    """Whoever reads one finds its cause and the way out; a message on the page is one that the program has."""
    page = ROOT / "docs" / "operations.md"
    section = page.read_text(encoding="utf-8").partition("## A worker that will not start")[2].partition("\n## ")[0]
    rows = [line.split(" | ")[0].removeprefix("| ") for line in section.splitlines() if line.startswith("| ")]
    told = {row.replace("\\`", "`") for row in rows if not row.startswith(("it says", "---"))}
    worker = ROOT / "streams" / "worker"
    errors = ("StreamsError", "PartitionError", "KafkaFailureError", "ProducerFencedError")
    raised = {text for _, text in pages.raised(worker, *errors)}
    assert raised
    shared = {"another worker uses transactional.id ... (this one's state folder is ...). Give each worker its own "}
    unlike_people = {
        "Kafka: ...",
        "partition ...: committed, but its changelog position is not known",
        "..., partition ...: ...",
    }
    assert {text for text in raised - unlike_people if text not in told} == set()
    source = "\n".join(
        pages.template(node)
        for file in (ROOT / "streams").rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.JoinedStr)
    )
    assert {text for text in told if text not in source and not any(text.startswith(each) for each in shared)} == set()


def test_the_codes_of_dead_letters_are_those_that_there_are() -> None:
    """Every code has a row that says what to do."""
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    section = page.partition("## Dead letters")[2].partition("\n## ")[0]
    told = set(re.findall(r"`([^`]+)`", " ".join(re.findall(r"^\| (`[^|]*) \|", section, flags=re.MULTILINE))))
    assert told == CODES
    engine = "\n".join(file.read_text(encoding="utf-8") for file in (ROOT / "streams" / "engine").glob("*.py"))
    raised = set(re.findall(r"CommandRefusedError\(\s*\"(\w+)\"", engine))
    assert raised <= CODES


def test_the_picture_is_small_and_of_the_demo() -> None:
    """`make picture` recorded it; a large one would be felt by everybody who looks at the page."""
    picture = ROOT / "docs" / "demo.svg"
    assert picture.stat().st_size < script("picture").TOO_LARGE
    text = picture.read_text(encoding="utf-8")
    assert "$ make demo" in text
    assert "killed" in text
