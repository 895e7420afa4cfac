"""The tables of a partition's SQLite file.

A status is stored as its place in `STATUSES`: those of rows never started first, then, from `FIRST_STARTED`,
those of rows an executor may know, then, from `FIRST_TERMINAL`, those of ended rows.
"""

from __future__ import annotations

from typing import Final

from streams.model import Status

STATUSES: Final = (
    Status.SCHEDULED,
    Status.PENDING,
    Status.READY,
    Status.RUNNING,
    Status.SUSPENDED,
    Status.BACKING_OFF,
    Status.PAUSED,
    Status.CANCELLING,
    Status.COMPLETED,
    Status.FAILED,
    Status.CANCELLED,
    Status.KILLED,
)
CODES: Final = {status: code for code, status in enumerate(STATUSES)}
PENDING: Final = CODES[Status.PENDING]
FIRST_STARTED: Final = CODES[Status.READY]
PAUSED: Final = CODES[Status.PAUSED]
FIRST_TERMINAL: Final = CODES[Status.COMPLETED]

HOLDS: Final = f"""object_key IS NOT NULL AND status >= {FIRST_STARTED} AND status < {FIRST_TERMINAL}
    AND (status <> {PAUSED} OR paused_from >= {FIRST_STARTED})"""
"""SQL for the rows that occupy their object; a query with exactly this condition uses its index."""
WAITS: Final = f"object_key IS NOT NULL AND status = {PENDING}"
"""SQL for the rows in the inbox of their object; likewise."""
LEFT: Final = f"status = {CODES[Status.CANCELLING]} AND due_at IS NULL"
"""SQL for the rows whose grace has ended with LEAVE."""
GROUPED: Final = "(flow_id IS NOT NULL OR parent_id IS NOT NULL)"
"""SQL for the invocations that belong to a flow or have a parent; likewise."""

APPLICATION_ID: Final = 0x73747265
TABLE_VERSION: Final = 10

# A row is kept in two halves: `rows` has what changes (and service and key, which its indexes need), `invocations` what
# never does. A page rewrites thousands of rows at a time, and its cost is the bytes of the rows it touches.
# `invocations.rest` is the encoded invocation without its leading id, which has a column already. It, labels, handler
# and deployment are null where the row shares them with others: its `shared` is then their number. `size`: bytes of
# the encoded invocation and of its id as a key. `ending` and
# `batch_id` are those of the row's own record: where `delta` is set they are null and the delta's hold instead.
# Rows that a page ended are not in `ended`: they are found through their delta, so that a page updates no index.
SCHEMA: Final = (
    """CREATE TABLE rows(
        seq INTEGER PRIMARY KEY,
        status INTEGER NOT NULL,
        service TEXT NOT NULL,
        modified_at INTEGER NOT NULL,
        due_at INTEGER,
        paused_from INTEGER,
        held INTEGER NOT NULL,
        delta INTEGER,
        started_seq INTEGER,
        pinned TEXT,
        object_key TEXT,
        batch_id TEXT,
        attempt INTEGER NOT NULL,
        last_report_no INTEGER NOT NULL,
        scheduled_at INTEGER,
        ending BLOB
    ) STRICT""",
    f"CREATE INDEX rows_due ON rows(due_at) WHERE due_at IS NOT NULL AND held = 0 AND status <> {PAUSED}",
    f"CREATE INDEX rows_ended ON rows(modified_at) WHERE status >= {FIRST_TERMINAL} AND delta IS NULL",
    f"CREATE INDEX rows_holding ON rows(service, object_key) WHERE {HOLDS}",
    f"CREATE INDEX rows_inbox ON rows(service, object_key) WHERE {WAITS}",
    "CREATE INDEX rows_held ON rows(held) WHERE held = 1",
    "CREATE INDEX rows_batch ON rows(batch_id) WHERE batch_id IS NOT NULL",
    """CREATE TABLE invocations(
        seq INTEGER PRIMARY KEY,
        shared INTEGER,
        created_at INTEGER NOT NULL,
        content_hash INTEGER NOT NULL,
        size INTEGER NOT NULL,
        flow_id TEXT,
        parent_id TEXT,
        lease_ms INTEGER,
        adopted INTEGER,
        id TEXT NOT NULL,
        handler TEXT,
        deployment_id TEXT,
        labels TEXT,
        rest BLOB
    ) STRICT""",
    "CREATE UNIQUE INDEX invocations_id ON invocations(id)",
    f"CREATE INDEX invocations_grouped ON invocations(seq) WHERE {GROUPED}",
    "CREATE INDEX invocations_flow ON invocations(flow_id) WHERE flow_id IS NOT NULL",
    "CREATE INDEX invocations_parent ON invocations(parent_id) WHERE parent_id IS NOT NULL",
    # `used`: how many rows have the part.
    """CREATE TABLE shared(
        number INTEGER PRIMARY KEY,
        used INTEGER NOT NULL,
        handler TEXT NOT NULL,
        deployment_id TEXT,
        labels TEXT,
        rest BLOB NOT NULL
    ) STRICT""",
    "CREATE INDEX shared_unused ON shared(used) WHERE used = 0",
    # As `zones` says. `rows`: how many the zone has; how many of them have the mark.
    "CREATE TABLE zones(zone INTEGER PRIMARY KEY, rows INTEGER NOT NULL) STRICT",
    """CREATE TABLE marks(
        zone INTEGER NOT NULL,
        mark INTEGER NOT NULL,
        rows INTEGER NOT NULL,
        PRIMARY KEY (zone, mark)
    ) STRICT, WITHOUT ROWID""",
    "CREATE TABLE payloads(seq INTEGER PRIMARY KEY, payload BLOB NOT NULL) STRICT",
    # Compaction can leave a row's record behind its payload's: on restore, such a payload waits here for its row.
    "CREATE TABLE early_payloads(id TEXT PRIMARY KEY, payload BLOB NOT NULL) STRICT, WITHOUT ROWID",
    # `resting`: how many rows rest on the delta. `ends`: whether it ended any. `record`: its changelog value.
    """CREATE TABLE deltas(
        offset INTEGER PRIMARY KEY,
        modified_at INTEGER NOT NULL,
        resting INTEGER NOT NULL,
        ends INTEGER NOT NULL,
        batch_id TEXT,
        ending BLOB,
        record BLOB NOT NULL
    ) STRICT""",
    "CREATE INDEX deltas_modified ON deltas(modified_at)",
    "CREATE INDEX deltas_batch ON deltas(batch_id) WHERE batch_id IS NOT NULL",
    # `over` is the time a record was over; it is null for unfinished ones, and only those are held in memory.
    *(
        statement
        for kind in ("batches", "slices")
        for statement in (
            f"""CREATE TABLE {kind}(
                id TEXT PRIMARY KEY,
                state TEXT NOT NULL,
                over INTEGER,
                scanned INTEGER NOT NULL,
                matched INTEGER NOT NULL,
                done INTEGER NOT NULL,
                skipped INTEGER NOT NULL,
                failed INTEGER NOT NULL,
                record BLOB NOT NULL
            ) STRICT""",
            f"CREATE INDEX {kind}_running ON {kind}(id) WHERE over IS NULL",
            f"CREATE INDEX {kind}_over ON {kind}(over, id) WHERE over IS NOT NULL",
        )
    ),
    # `turns`: whether it has a page to do. `over`: `updated_at` of one without members that have not ended. `changed`:
    # `updated_at` of a named one. `parent`: seq of the row whose children it is about, null as long as there is none.
    """CREATE TABLE flows(
        children INTEGER NOT NULL,
        id TEXT NOT NULL,
        turns INTEGER NOT NULL,
        pending INTEGER NOT NULL,
        due_at INTEGER,
        over INTEGER,
        changed INTEGER,
        parent INTEGER,
        record BLOB NOT NULL,
        PRIMARY KEY (children, id)
    ) STRICT, WITHOUT ROWID""",
    "CREATE INDEX flows_due ON flows(due_at) WHERE due_at IS NOT NULL",
    "CREATE INDEX flows_over ON flows(over) WHERE over IS NOT NULL",
    "CREATE INDEX flows_changed ON flows(changed) WHERE changed IS NOT NULL",
    "CREATE INDEX flows_turns ON flows(turns) WHERE turns = 1",
    "CREATE INDEX flows_parent ON flows(parent) WHERE parent IS NOT NULL",
    "CREATE INDEX flows_orphans ON flows(id) WHERE children = 1 AND parent IS NULL",
    """CREATE TABLE members(
        children INTEGER NOT NULL,
        flow_id TEXT NOT NULL,
        partition INTEGER NOT NULL,
        seq INTEGER NOT NULL,
        state INTEGER NOT NULL,
        round INTEGER NOT NULL,
        labels TEXT NOT NULL,
        restarted_seq INTEGER NOT NULL,
        invocation_id TEXT,
        PRIMARY KEY (children, flow_id, partition, seq)
    ) STRICT, WITHOUT ROWID""",
    """CREATE TABLE over(
        kind TEXT NOT NULL,
        state TEXT NOT NULL,
        counter TEXT NOT NULL,
        total INTEGER NOT NULL,
        PRIMARY KEY (kind, state, counter)
    ) STRICT, WITHOUT ROWID""",
    """CREATE TABLE state(
        one INTEGER PRIMARY KEY CHECK (one = 1),
        partition INTEGER NOT NULL,
        changelog_position INTEGER NOT NULL,
        saved_at INTEGER NOT NULL,
        meta BLOB
    ) STRICT""",
)
HALVES: Final = ("rows", "invocations")
"""The two tables that hold a row."""
TABLES: Final = (
    *HALVES,
    "shared",
    "zones",
    "marks",
    "payloads",
    "early_payloads",
    "deltas",
    "batches",
    "slices",
    "flows",
    "members",
    "over",
)
