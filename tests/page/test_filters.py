"""The page's filters, in a browser, against those of the command line and the records."""

from __future__ import annotations

import json
import subprocess
import unicodedata
from typing import TYPE_CHECKING, Any

import pytest
import typer
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from streams.cli.options.bounds import Bounds, Standing
from streams.cli.options.selection import Selection
from streams.cli.options.sending import Cancelling, Sending
from streams.cli.options.takes import takes
from streams.codec.json_form import from_json, to_json
from streams.model import Exclusion, Filter, StartBatch, Status
from streams.protocol.typed_labels import comparison, read_label, typed_label
from support.service.pretend_api import PretendApi

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page

# A browser takes seconds to start: as what needs a broker, this is not in the quick loop.
pytestmark = pytest.mark.broker

# What a shell, the command line or the text of a label might take for something else comes often.
_odd = st.text(st.sampled_from("=!\\-, '\"$`#~&é"), min_size=1, max_size=5)
_id = _odd | st.text(st.characters(exclude_categories=("Cc", "Cs")), min_size=1, max_size=12)
_ids = st.lists(_id, min_size=1, max_size=3, unique=True).map(tuple)
# Labels and reasons may hold control characters, and a word of a command any but a NUL.
_text = _odd | st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)
_key = _text.filter(bool)
_time = st.integers(0, 4_102_444_800_000)
_range = st.tuples(_time, _time).map(sorted)


@st.composite
def _halves(draw: st.DrawFn, *, exclusion: bool) -> dict[str, Any]:
    """The fields of a filter, or of its exclusions."""
    lists = ("services", "handlers", "object_keys", "deployment_ids", "flow_ids", "parent_ids", "batch_ids")
    said: dict[str, Any] = {name: draw(_ids) for name in lists if draw(st.booleans())}
    if draw(st.booleans()):
        said["statuses"] = tuple(draw(st.lists(st.sampled_from(list(Status)), min_size=1, unique=True)))
    if not exclusion and draw(st.booleans()):
        said["invocation_ids"] = draw(_ids)
    for name in ("created", "modified"):
        begin, end = draw(_range)
        said |= {f"{name}_{which}": at for which, at in (("from", begin), ("until", end)) if draw(st.booleans())}
    labels = draw(st.dictionaries(_key, st.lists(_text, min_size=1, max_size=3, unique=True), max_size=3))
    equal = {key: values[0] for key, values in labels.items() if len(values) == 1}
    among = {key: tuple(values) for key, values in labels.items() if len(values) > 1}
    return said | ({"labels": equal} if equal else {}) | ({"labels_in": among} if among else {})


@st.composite
def _filters(draw: st.DrawFn) -> Filter:
    said, unwanted = draw(_halves(exclusion=False)), draw(_halves(exclusion=True))
    return Filter(**said, match_all=not said, exclude=Exclusion(**unwanted) if unwanted else None)


@pytest.fixture(scope="module")
def modules(chromium: Browser) -> Iterator[Page]:
    """A page that has the modules of filters and drafts, served from the disk."""
    context = chromium.new_context(timezone_id="Europe/Berlin")
    page = PretendApi(0).page(context, "#/nowhere")
    page.evaluate(
        """async () => {
            const names = ["filter", "draft", "format", "labels", "route", "store", "words"];
            for (const name of names) window[name + "Module"] = await import(`/assets/lib/${name}.js`);
        }"""
    )
    yield page
    context.close()


@given(chosen=_filters())
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_a_filter_survives_the_builder_and_the_address(modules: Page, chosen: Filter) -> None:
    """What a link carries is the filter that was meant, whatever its values hold."""
    found = modules.evaluate(
        """(text) => {
            const filter = JSON.parse(text);
            const conditions = filterModule.fromFilter(filter);
            const hash = draftModule.toAddress({ ...draftModule.fromAddress([]), conditions, all: filter.match_all });
            const draft = draftModule.fromAddress(routeModule.parse(hash).query);
            return [
                JSON.stringify(filterModule.toFilter(conditions, filter.match_all)),
                JSON.stringify(filterModule.toFilter(draft.conditions, draft.all)),
                filterModule.inWords(filter),
            ];
        }""",
        json.dumps(to_json(chosen)),
    )
    assert from_json(Filter, json.loads(found[0])) == chosen
    assert from_json(Filter, json.loads(found[1])) == chosen
    assert found[2]


@given(chosen=_filters(), reason=_text)
@example(Filter(match_all=True, exclude=Exclusion(labels={"0": "="}, labels_in={"a!": ("=b", "")})), "--")
@example(Filter(labels={"a=b": "\\=c", "tab\t\x1b[201~": "\n"}, services=("-x", "a, b")), "it's “bad”;\n $(rm) `x`")
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_the_line_to_copy_means_the_same_on_the_command_line(modules: Page, chosen: Filter, reason: str) -> None:
    """Quoted for a shell, with every option by its name there; nothing in it does something to a terminal."""
    line, conditions_fault = modules.evaluate(
        """([text, reason]) => {
            const filter = JSON.parse(text);
            const conditions = filterModule.fromFilter(filter);
            const line = draftModule.toCommandLine({
                ...draftModule.fromAddress([["action", "CANCEL"]]), conditions, all: filter.match_all,
                grace: "2m", on_timeout: "LEAVE", limit: "7", max_rate: "2.5", reason,
            });
            return [line, filterModule.fault(conditions.filter((each) => each.field === "label"))];
        }""",
        [json.dumps(to_json(chosen)), reason],
    )
    assert conditions_fault is None
    assert not any(unicodedata.category(char) == "Cc" for char in line)
    parsed = _parsed(_words(line))
    assert parsed.filter == chosen
    assert (parsed.limit, parsed.max_rate, parsed.reason) == (7, 2.5, reason or None)


@given(texts=st.lists(_odd | st.tuples(_text, _text).map("=".join), min_size=20, max_size=50))
@example(texts=[r"tenant=\=gold", r"tenant=\\=gold", r"C:\dir=x\=y", r"dir\\=x", r"a\=b=c", r"a\=b", "=", "a!!==b"])
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_a_typed_label_means_the_same_here_and_on_the_command_line(modules: Page, texts: list[str]) -> None:
    """Also one that nobody would write so: key and value, their usual text, and whether it looks like a comparison."""
    found = modules.evaluate(
        """(texts) => texts.map((text) => {
            const pair = labelsModule.labelPair(text);
            return [pair, pair && labelsModule.labelText(...pair), labelsModule.labelFault(text) === null];
        })""",
        texts,
    )
    for text, (pair, usual, sound) in zip(texts, found, strict=True):
        meant = read_label(text)
        assert (tuple(pair) if pair else None) == meant, text
        assert usual == (meant and typed_label(*meant)), text
        assert sound == (meant is not None and comparison(text) is None), text


def _words(line: str) -> list[str]:
    """The words that a shell makes of a line."""
    done = subprocess.run(
        ["bash", "-c", f"printf '%s\\0' {line}"], env={"LC_ALL": "C.UTF-8"}, capture_output=True, check=True
    )
    return done.stdout.decode().split("\0")[:-1]


def _parsed(words: list[str]) -> StartBatch:
    """What the command line makes of `streams cancel ...`."""
    program, verb, *options = words
    assert (program, verb) == ("streams", "cancel")
    found: list[StartBatch] = []

    @takes(Selection, Cancelling, Bounds, Standing, Sending)
    def cancel(
        selection: Selection, cancelling: Cancelling, bounds: Bounds, standing: Standing, sending: Sending
    ) -> None:
        assert (cancelling.grace, cancelling.on_timeout) == ("2m", "LEAVE")
        start = StartBatch("b", "CANCEL", selection.filter(), reason=sending.reason)  # type: ignore[arg-type]
        found.append(standing.of(bounds.of(start)))

    app = typer.Typer()
    app.command()(cancel)
    app(options, standalone_mode=False)
    return found[0]


def test_a_final_state_never_turns_back(modules: Page) -> None:
    """Older records, and records that say less, come late: from another gateway, or from a list that took long."""
    shown = modules.evaluate(
        """() => {
            const created_at = "2026-11-29T01:00:00.000Z";
            const at = (revision, state, more) => ({ revision, state, created_at, ...more });
            const newer = storeModule.isNewer;
            return [
                newer(undefined, at(1, "STARTING")),
                newer(at(1, "RUNNING"), at(2, "RUNNING")),
                newer(at(2, "RUNNING"), at(1, "RUNNING")),
                newer(at(9, "COMPLETED"), at(10, "RUNNING")),
                newer(at(9, "COMPLETED"), at(3, "RUNNING", { created_at: "2026-11-29T02:00:00.000Z" })),
            ];
        }"""
    )
    assert shown == [True, True, False, False, True]


@pytest.mark.parametrize(
    ("address", "refused"),
    [
        ("", "say which invocations"),
        ("not_service=mail", "say which invocations"),
        ("service=mail&created_until=nonsense", "nonsense is not a time"),
        ("service=mail&label=tenant", "write it as key=value"),
        ("service=mail&label=tenant!=gold", 'choose "is not" and write tenant=gold, or, if the label is meant so,'),
        ("service=mail&label=tenant!==gold", 'choose "is not" and write tenant=gold, or, if the label is meant so,'),
        ("service=mail&label=tenant==gold", r"write one =, tenant=gold, or, if the label is meant so, tenant=\=gold"),
        (r"service=mail&label=tenant=\=gold&not_label=tenant\!=gold&label=a\=b=", None),
        ("service=mail&created_from=2026-11-29T01:00:00Z&created_until=2026-11-28T01:00:00Z", "before its beginning"),
        ("service=mail&limit=0", "limit"),
        ("service=mail&max_rate=fast", "rate"),
        ("service=mail&action=CANCEL&grace=soon", "grace"),
        ("service=mail&action=KILL&standing_until=2001-01-01T00:00:00Z", "has passed"),
        ("service=mail&__proto__=x&constructor_from=x", None),
        ("service=mail", None),
        ("match_all=true&not_service=mail", None),
    ],
)
def test_what_cannot_be_meant_is_not_sent(modules: Page, address: str, refused: str | None) -> None:
    """A condition that is dropped because it is misspelt would make the batch larger."""
    found = modules.evaluate(
        "(address) => draftModule.draftFault(draftModule.fromAddress([...new URLSearchParams(address)]))", address
    )
    assert (found is None) == (refused is None)
    assert refused is None or refused in found


def test_a_condition_without_a_value_is_refused(modules: Page) -> None:
    """It stands there because somebody is about to fill it in."""
    found = modules.evaluate(
        """() => {
            const draft = draftModule.fromAddress([["service", "mail"]]);
            const conditions = [...draft.conditions, { field: "status", not: false, values: [] }];
            return draftModule.draftFault({ ...draft, conditions });
        }"""
    )
    assert found == "status: say a value, or remove the condition"


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("2026-11-29 14:30", "2026-11-29T13:30:00.000Z"),
        ("2026-07-01", "2026-06-30T22:00:00.000Z"),
        ("2026-11-29T14:30:00.125Z", "2026-11-29T14:30:00.125Z"),
        ("2026-11-29T14:30:00+09:00", "2026-11-29T05:30:00.000Z"),
        ("yesterday", None),
        ("14:3", None),
        ("", None),
    ],
)
def test_times_are_read_in_the_viewers_zone(modules: Page, typed: str, meant: str | None) -> None:
    """The viewer sits in Berlin."""
    found = modules.evaluate(
        "(text) => { const at = formatModule.parseTime(text); return at === null ? null : formatModule.iso(at); }",
        typed,
    )
    assert found == meant


@pytest.mark.parametrize("typed", ["09:30:15", "9:30:15"])
def test_a_clock_alone_is_that_of_today(modules: Page, typed: str) -> None:
    """With seconds or without, in the viewer's zone."""
    found = modules.evaluate("(text) => new Date(formatModule.parseTime(text)).toTimeString().slice(0, 8)", typed)
    assert found == "09:30:15"


@pytest.mark.parametrize(("grace_ms", "sent"), [(0, 0), (90_000, 90_000), (None, None)])
def test_a_batch_like_another_has_its_grace(modules: Page, grace_ms: int | None, sent: int | None) -> None:
    """None at all is a grace, too: left out, it would be that of the protocol."""
    batch: dict[str, Any] = {"action": "CANCEL", "filter": {"services": ["mail"]}, "on_timeout": "KILL"}
    batch |= {} if grace_ms is None else {"grace_ms": grace_ms}
    body = modules.evaluate("(batch) => draftModule.toBody(draftModule.likeBatch(batch), 'b')", batch)
    assert body.get("grace_ms") == sent


def test_a_duration_is_a_time_ago_or_ahead(modules: Page) -> None:
    """As on the command line: 2h is two hours ago in a filter, and in two hours where a batch is to end."""
    ago, ahead = modules.evaluate(
        "() => [false, true].map((ahead) => formatModule.parseTime('2h', ahead) - Date.now())"
    )
    assert ago == pytest.approx(-7_200_000, abs=2_000)
    assert ahead == pytest.approx(7_200_000, abs=2_000)
