"""A table made from its changelog is the table."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from streams.codec import encode, encode_invocation, encode_row
from streams.model import ENGINE_VERSION, Invocation, Meta, Payload, Row, Status
from streams.state.errors import ChangelogError, NewerEngineError
from streams.state.store import Store
from support.effort import examples
from support.tables.state_twin import Twin
from support.tables.twin_histories import History, histories

tenths = st.integers(0, 10)
FLOWS = "SELECT children, id, turns, due_at, over, parent FROM flows ORDER BY 1, 2"
Log = list[tuple[str, bytes | None, int]]


def compacted(log: Log, *, tombstones: bool) -> Log:
    """The rest that compaction leaves: the last record of a key, and its tombstones only for a while."""
    last = {key: offset for key, _, offset in log}
    return [
        (key, value, offset) for key, value, offset in log if last[key] == offset and (tombstones or value is not None)
    ]


def made_from(log: Log, path: Path, *cuts: int) -> Store:
    """A store to which the log was applied, closed and opened again at each cut (share of the log in tenths)."""
    store = Store.open(path, 0)
    ends = sorted(len(log) * cut // 10 for cut in cuts)
    for begin, end in zip([0, *ends], [*ends, len(log)], strict=True):
        store.begin()
        assert store.apply_changelog(log[begin:end]) == end - begin
        store.commit(log[end - 1][2] + 1 if end else 0, end)
        store.close()
        store = Store.open(path, 0)
        assert store.changelog_position == (log[end - 1][2] + 1 if end else 0)
    return store


def same(store: Store, twin: Twin) -> bool:
    """Whether rows, payloads, batches, slices, meta and what rests on which delta are the same."""
    deltas = dict(store.db.execute("SELECT offset, resting FROM deltas").fetchall())
    early = store.db.execute("SELECT count(*) FROM early_payloads").fetchone()
    meta = twin.store.meta
    flows = store.db.execute(FLOWS).fetchall()
    made = (list(store.dump()), deltas, early, store.meta, flows)
    return made == (list(twin.store.dump()), twin.deltas(), (0,), meta, twin.links())


@settings(max_examples=examples(80), deadline=None)
@given(
    history=histories,
    how=st.sampled_from(("whole", "compacted", "half compacted", "compacted while read", "read again")),
    cuts=st.lists(tenths, max_size=1),
    shorter=tenths,
    longer=tenths,
)
def test_the_changelog_always_gives_the_same_table(
    *, history: History, how: str, cuts: list[int], shorter: int, longer: int
) -> None:
    """Whole or compacted, in one go or resumed anywhere, read before or while compaction is at work."""
    with tempfile.TemporaryDirectory() as folder:
        twin = Twin(Path(":memory:"))
        twin.run(history)
        log: Log = [(key, value, offset) for offset, (key, value) in enumerate(twin.changelog)]
        shorter, longer = (len(log) * part // 10 for part in sorted((shorter, longer)))
        half = compacted(log[:longer], tombstones=True) + log[longer:]
        records = {
            "whole": log,
            "compacted": compacted(log, tombstones=shorter > longer // 2),
            "half compacted": half,
            "compacted while read": log[:shorter] + [record for record in half if record[2] >= shorter],
            "read again": log[:longer] + log[shorter:],
        }[how]
        store = made_from(records, Path(folder) / "made.db", *cuts)
        assert same(store, twin)
        store.close()
        twin.store.close()


@pytest.mark.parametrize("key", ["", "i", "z/x", "invocation", "f/flow"])
def test_a_key_of_another_kind_is_refused(key: str, tmp_path: Path) -> None:
    """A record that has no place in the table stops the restore."""
    store = Store.open(tmp_path / "t.db", 0)
    store.begin()
    with pytest.raises(ChangelogError, match="upgrade"):
        store.apply_changelog([(key, b"", 0)])
    store.close()


def test_a_key_that_holds_another_record_is_refused(tmp_path: Path) -> None:
    """A value of another type than its key says stops the restore, naming both."""
    store = Store.open(tmp_path / "t.db", 0)
    store.begin()
    with pytest.raises(ChangelogError, match="holds a Meta, not a Payload"):
        store.apply_changelog([("p/x", encode(Meta()), 0)])
    store.close()


def test_a_table_of_a_newer_engine_is_refused(tmp_path: Path) -> None:
    """A worker never goes on with a table that a newer engine wrote."""
    store = Store.open(tmp_path / "t.db", 0)
    store.begin()
    with pytest.raises(NewerEngineError, match="upgrade this worker"):
        store.apply_changelog([("m/", encode(replace(Meta(), engine_version=ENGINE_VERSION + 1)), 0)])
    store.close()


def test_a_payload_whose_row_never_comes_is_kept_apart(tmp_path: Path) -> None:
    """A payload is found by its row's seq: without a row it waits, and its tombstone removes it."""
    store = Store.open(tmp_path / "t.db", 0)
    store.begin()
    store.apply_changelog([("p/x", encode(Payload(b"1")), 0)])
    assert store.db.execute("SELECT id FROM early_payloads").fetchall() == [("x",)]
    store.apply_changelog([("p/x", None, 1)])
    assert store.db.execute("SELECT id FROM early_payloads").fetchall() == []
    store.close()


def test_a_payload_goes_to_the_row_that_replaces_the_one_it_was_read_for(tmp_path: Path) -> None:
    """A reader whom compaction overtakes sees a payload while an id's former row still stands."""
    store = Store.open(tmp_path / "t.db", 0)
    store.begin()
    for position, record in enumerate([row_record(1), ("p/x", encode(Payload(b"new"))), row_record(9)]):
        store.apply_changelog([(*record, position)])
    assert store.db.execute("SELECT seq, payload FROM payloads").fetchall() == [(9, b"new")]
    store.apply_changelog([("i/x", None, 3)])
    assert store.db.execute("SELECT seq, payload FROM payloads").fetchall() == []
    store.close()


def row_record(seq: int) -> tuple[str, bytes]:
    """Key and value of a row of the id x."""
    invocation = Invocation("x", "mail", "send")
    row = Row("x", encode_invocation(invocation), seq, 0, Status.RUNNING, 1, -1, 0, 0)
    return "i/x", encode_row(row)
