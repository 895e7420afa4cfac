"""Filter options and the filter that they make."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

from streams.cli.options.labels import labels_of
from streams.cli.options.selection import Selection, describe
from streams.cli.show.times import point_ms
from streams.model import Exclusion, Filter, Status
from streams.protocol.typed_labels import comparison, read_label, typed_label


def test_no_option_makes_an_empty_filter_and_not_all() -> None:
    """Everything is meant only when it is said."""
    assert Selection().filter() == Filter()
    assert Selection(all=True).filter() == Filter(match_all=True)


def test_each_option_sets_its_field_and_no_other() -> None:
    """All fields of the filter can be given."""
    selection = Selection(
        service=["billing", "emails"],
        handler=["run"],
        object_key=["k"],
        deployment=["d"],
        status=["running", "READY"],
        flow=["f"],
        parent=["p"],
        id=["i"],
        batch=["b"],
        label=["tenant=acme", "query=a=b"],
        created_after="2026-01-01",
        created_before="2026-02-01",
        modified_after="2026-03-01",
        modified_before="2026-04-01",
    )
    assert selection.filter() == Filter(
        created_from=point_ms("2026-01-01"),
        created_until=point_ms("2026-02-01"),
        modified_from=point_ms("2026-03-01"),
        modified_until=point_ms("2026-04-01"),
        services=("billing", "emails"),
        handlers=("run",),
        object_keys=("k",),
        deployment_ids=("d",),
        statuses=(Status.RUNNING, Status.READY),
        flow_ids=("f",),
        parent_ids=("p",),
        invocation_ids=("i",),
        batch_ids=("b",),
        labels={"tenant": "acme", "query": "a=b"},
    )


def test_each_option_of_what_is_left_out_sets_its_field_and_no_other() -> None:
    """All fields of an exclusion can be given, as those of the filter are."""
    selection = Selection(
        not_service=["billing", "emails"],
        not_handler=["run"],
        not_object_key=["k"],
        not_deployment=["d"],
        not_status=["running", "READY"],
        not_flow=["f"],
        not_parent=["p"],
        not_batch=["b"],
        not_label=["tenant=acme", "query=a=b"],
        not_created_after="2026-01-01",
        not_created_before="2026-02-01",
        not_modified_after="2026-03-01",
        not_modified_before="2026-04-01",
    )
    assert selection.filter() == Filter(
        exclude=Exclusion(
            created_from=point_ms("2026-01-01"),
            created_until=point_ms("2026-02-01"),
            modified_from=point_ms("2026-03-01"),
            modified_until=point_ms("2026-04-01"),
            services=("billing", "emails"),
            handlers=("run",),
            object_keys=("k",),
            deployment_ids=("d",),
            statuses=(Status.RUNNING, Status.READY),
            flow_ids=("f",),
            parent_ids=("p",),
            batch_ids=("b",),
            labels={"tenant": "acme", "query": "a=b"},
        )
    )
    assert selection.filter().exclude is not None
    said = {name for name in Exclusion.__struct_fields__ if getattr(selection.filter().exclude, name) is not None}
    assert set(Exclusion.__struct_fields__) - said == {"labels_in"}


def test_a_label_given_again_with_another_value_widens() -> None:
    """As every other option does: one of the values must fit, or fits what is left out."""
    words = ["tenant=gold", "region=eu", "tenant=silver", "tenant=gold"]
    lists: dict[str, tuple[str, ...]] = {"tenant": ("gold", "silver")}
    one = {"region": "eu"}
    assert Selection(label=words).filter() == Filter(labels=one, labels_in=lists)
    assert Selection(not_label=words, all=True).filter() == Filter(
        match_all=True, exclude=Exclusion(labels=one, labels_in=lists)
    )


@pytest.mark.parametrize(
    ("typed", "key", "value"),
    [
        (r"tenant=\=gold", "tenant", "=gold"),
        (r"tenant=\\=gold", "tenant", r"\=gold"),
        (r"tenant=\gold", "tenant", r"\gold"),
        (r"tenant\!=gold", "tenant!", "gold"),
        (r"a\=b=c", "a=b", "c"),
        (r"C:\dir=x\=y", r"C:\dir", r"x\=y"),
        (r"dir\\=x", "dir\\", "x"),
        ("tenant=", "tenant", ""),
        ("tenant= a, b\n", "tenant", " a, b\n"),
    ],
)
def test_a_backslash_says_what_is_meant(typed: str, key: str, value: str) -> None:
    """Every label can be typed, also one that would look like a comparison; other backslashes are characters."""
    assert Selection(label=[typed]).filter() == Filter(labels={key: value})
    assert Selection(not_label=[typed], all=True).filter() == Filter(
        match_all=True, exclude=Exclusion(labels={key: value})
    )
    assert labels_of("--label", [typed]) == {key: value}


_PART = st.text(st.sampled_from("=!\\a \n")) | st.text()


@given(_PART.filter(bool), _PART)
def test_each_label_has_its_text(key: str, value: str) -> None:
    """Whatever it holds, and the text is never taken for a comparison."""
    text = typed_label(key, value)
    assert read_label(text) == (key, value)
    assert comparison(text) is None


def test_ids_come_from_options_and_from_a_file_each_once(tmp_path: Path) -> None:
    """Blank lines and repetitions do not count."""
    file = tmp_path / "ids"
    file.write_text("a\n\n  b  \na\r\nc\n")
    assert Selection(id=["c", "d"], ids_file=file).filter().invocation_ids == ("c", "d", "a", "b")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_no_id_of_a_file_made_elsewhere_is_lost_or_cut(tmp_path: Path, encoding: str) -> None:
    """Not the first one behind a byte order mark, nor one with a character at which Python would cut lines."""
    ids = ("first", "b\u0085c", "\u2028d", "e\u3000", "\u00e4")
    file = tmp_path / "ids"
    file.write_bytes("\r\n".join([*ids, ""]).encode(encoding))
    assert Selection(ids_file=file).filter().invocation_ids == ids


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b'a\n"b"\n', 'ids, line 2: "b" is quoted: write bare ids'),
        (b"'b'\n", "ids, line 1: 'b' is quoted"),
        (b'["a", "b"]\n', r'ids, line 1: \["a", "b"\] is quoted'),
        (b'{"invocation_id":"a"}\n', r"ids, line 1: .* is quoted"),
        ("\u201cb\u201d\n".encode(), "ids, line 1: .* is quoted"),
        (b"a\rb\rc", "ids, line 1: holds a carriage return within"),
        (b"a\nb\xe4\n", "ids, line 2: byte E4 at 2 is not UTF-8"),
        ("a\nb\n".encode("utf-16-le"), "ids, line 1: this is UTF-16 or UTF-32 without a byte order mark"),
    ],
)
def test_a_line_that_is_no_bare_id_is_refused_with_its_number(tmp_path: Path, content: bytes, said: str) -> None:
    """It would match nothing, silently; and what it may have meant is not for the program to guess, of a kill."""
    file = tmp_path / "ids"
    file.write_bytes(content)
    with pytest.raises(typer.BadParameter, match=said) as caught:
        Selection(ids_file=file).filter()
    assert caught.value.param_hint == "--ids-file"


def test_an_empty_file_of_ids_is_not_taken_for_no_filter(tmp_path: Path) -> None:
    """It is refused, instead of matching all that the other options leave."""
    file = tmp_path / "ids"
    file.write_text("\n")
    with pytest.raises(typer.BadParameter, match="holds no id"):
        Selection(service=["a"], ids_file=file).filter()


@pytest.mark.parametrize(
    "chosen",
    [
        Selection(service=["a"], all=True),
        Selection(created_before="2h", all=True),
        Selection(id=["i"], all=True),
    ],
)
def test_all_stands_alone(chosen: Selection) -> None:
    """Beside another option it would be read as all and mean some."""
    with pytest.raises(typer.BadParameter, match="leave out the one or the others"):
        chosen.filter()


@pytest.mark.parametrize(
    ("selection", "option", "message"),
    [
        (Selection(label=["tenant"]), "--label", "KEY=VALUE"),
        (Selection(label=["=x"]), "--label", "KEY=VALUE"),
        (
            Selection(label=["tenant!=gold"]),
            "--label",
            r"say --not-label tenant=gold; if it shall, write 'tenant\\\!=gold'$",
        ),
        (
            Selection(label=["tenant==gold"]),
            "--label",
            r"write one '=', tenant=gold; if it shall, write 'tenant=\\=gold'$",
        ),
        (Selection(not_label=["tenant"]), "--not-label", "KEY=VALUE"),
        (Selection(label=[r"tenant\=gold"]), "--label", "KEY=VALUE"),
        (Selection(not_label=["tenant!=gold"]), "--not-label", "say --not-label tenant=gold; if"),
        (Selection(not_label=["tenant==gold"]), "--not-label", "write one '=', tenant=gold; if"),
        (Selection(not_status=["RUNING"]), "--not-status", "there are SCHEDULED"),
        (Selection(not_created_after="soon"), "--not-created-after", "ISO time"),
        (Selection(not_modified_before="soon"), "--not-modified-before", "ISO time"),
        (Selection(created_after="1h", created_before="2h"), "--created-before", "before --created-after"),
        (
            Selection(not_modified_after="1h", not_modified_before="2h"),
            "--not-modified-before",
            "before --not-modified-after",
        ),
        (Selection(status=["RUNING"]), "--status", "there are SCHEDULED"),
        (Selection(created_after="soon"), "--created-after", "ISO time"),
        (Selection(modified_before="soon"), "--modified-before", "ISO time"),
        (Selection(ids_file=Path("no-such-file")), "--ids-file", "cannot be read"),
    ],
)
def test_a_value_that_cannot_be_read_names_its_option(selection: Selection, option: str, message: str) -> None:
    """The error says where the value stood."""
    with pytest.raises(typer.BadParameter, match=message) as caught:
        selection.filter()
    assert caught.value.param_hint == option


def test_a_filter_in_words_names_everything_it_narrows_by() -> None:
    """The question before a kill leaves nothing out."""
    selection = Selection(
        service=["billing", "emails"], label=["tenant=acme"], created_before="2026-01-01", id=["a", "b"]
    )
    assert describe(selection.filter()) == (
        "invocations of one of 2 ids, and service billing or emails, and label tenant=acme, "
        "and created before 2026-01-01 00:00:00Z"
    )
    assert describe(Filter(match_all=True)) == "ALL invocations"
    assert describe(Filter(invocation_ids=None), 10_000) == "invocations of one of 10,000 ids"


def test_a_filter_in_words_names_everything_that_it_leaves_out() -> None:
    """Whoever is asked sees for whom it is not meant, too."""
    selection = Selection(
        service=["emails"],
        label=["tenant=lead", "tenant=free"],
        not_label=["tenant=gold", "tenant=silver", "pinned=yes"],
        not_status=["running"],
        not_created_after="2026-01-01",
        not_created_before="2026-02-01",
    )
    assert describe(selection.filter()) == (
        "invocations of service emails, and label tenant=lead or tenant=free, but none of status RUNNING, "
        "and none of label pinned=yes, and none of label tenant=gold or tenant=silver, "
        "and none of created from 2026-01-01 00:00:00Z and before 2026-02-01 00:00:00Z"
    )
    assert describe(Selection(all=True, not_service=["pay"]).filter()) == "ALL invocations, but none of service pay"


def test_a_long_list_in_words_is_cut() -> None:
    """Nobody reads ten thousand names."""
    told = describe(Selection(service=[f"s{number}" for number in range(1_100)]).filter())
    assert told.endswith(" or s19 or 1,080 others")
