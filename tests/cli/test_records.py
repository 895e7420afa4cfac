"""Records as JSON, and lines of JSON as commands."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams import codec
from streams.cli.records import BadLineError, command_of, typed_json
from streams.codec.json_form import to_json
from streams.model import Act, Action, Cause, Filter, Invocation, Invoke, StartBatch, Status

if TYPE_CHECKING:
    from streams.model import ClientCommand

_TEXT = st.text(max_size=8)
_ID = st.text(min_size=1, max_size=8)
_INVOKES = st.builds(
    Invoke,
    st.builds(Invocation, _ID, _ID, _ID, labels=st.dictionaries(_TEXT, _TEXT, max_size=3)),
    scheduled_at=st.none() | st.integers(0, 2**62),
    adopt=st.booleans(),
    payload=st.none() | st.binary(max_size=8),
)
_FILTERS = st.builds(
    Filter,
    services=st.none() | st.lists(_ID, min_size=1, max_size=3).map(tuple),
    statuses=st.none() | st.lists(st.sampled_from(Status), min_size=1, max_size=3).map(tuple),
    labels=st.none() | st.dictionaries(_TEXT, _TEXT, min_size=1, max_size=3),
)
_COMMANDS = st.one_of(
    _INVOKES,
    st.builds(Act, _ID, st.sampled_from(Action), cause=st.builds(Cause, reason=st.none() | _TEXT)),
    st.builds(StartBatch, _ID, st.sampled_from(Action), _FILTERS, max_rate=st.none() | st.floats(0.5, 1e6)),
)


@given(command=_COMMANDS)
def test_what_is_printed_of_a_command_is_always_the_command_again(command: ClientCommand) -> None:
    """So `tail commands` is something that `send` takes."""
    logged = codec.decode(codec.encode(command))
    assert command_of(msgspec.json.encode(typed_json(logged))) == command


def test_a_record_is_its_type_and_its_json_form() -> None:
    """The type comes first."""
    invoke = codec.decode(codec.encode(Invoke(Invocation("i", "s", "h"), payload=b"\xff")))
    assert typed_json(invoke) == {"type": "Invoke", **to_json(invoke)}
    assert next(iter(typed_json(invoke))) == "type"


_GOOD = '"invocation": {"invocation_id": "i", "service": "s", "handler": "h"'


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("not json", "not JSON: "),
        ("\udcff", "not JSON: "),
        ("[1]", "not a JSON object"),
        ("{}", "type is missing: give one of Invoke, "),
        ('{"type": "Nope"}', "type 'Nope' is not a command"),
        ('{"type": ["Invoke"]}', "is not a command"),
        ('{"type": "Signal"}', "type 'Signal' is not a command"),
        ('{"type": "Tick"}', "type Tick is for workers to write"),
        ('{"type": "Invoke"}', "Invoke: invocation is missing"),
        (
            f'{{"type": "Invoke", {_GOOD}}}, "payloda": "aGk="}}',
            "payloda is not a field of Invoke: did you mean payload?",
        ),
        (f'{{"type": "Invoke", {_GOOD}}}, "encoded": "aGk="}}', "encoded is not a field of Invoke"),
        (
            f'{{"type": "Invoke", {_GOOD}, "lable": {{}}}}}}',
            "invocation.lable is not a field of Invocation: did you mean labels?",
        ),
        (f'{{"type": "Invoke", {_GOOD}}}, "payload": "%"}}', "Invoke: payload is '%': write bytes in base64"),
        (
            '{"type": "Act", "invocation_id": "i", "action": "EXPLODE"}',
            "Act: action is 'EXPLODE', not an Action: write CANCEL",
        ),
        (
            '{"type": "Act", "invocation_id": "i", "action": "KILL", "cause": {"who": "me"}}',
            "cause.who is not a field of Cause",
        ),
        (
            '{"type": "StartBatch", "batch_id": "b", "action": "KILL", "filter": {"service": ["s"]}}',
            "filter.service is not a field of Filter: did you mean services?",
        ),
        (
            '{"type": "StartBatch", "batch_id": "b", "action": "KILL", "filter": {"exclude": {"service": ["s"]}}}',
            "filter.exclude.service is not a field of Exclusion: did you mean services?",
        ),
    ],
)
def test_a_line_that_holds_no_command_says_why(line: str, reason: str) -> None:
    """A misspelt field is never taken for an absent one."""
    with pytest.raises(BadLineError) as caught:
        command_of(line.encode(errors="surrogateescape"))
    assert reason in str(caught.value)
