"""The regression gate: its counts come again, a loss of a tenth is found, and a new value is accepted."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from bench.gate.kinds import KINDS
from bench.gate.measuring import PARTS
from bench.gate.recorded import BOUND, FILE, Taken, broken, pair, read, write
from bench.lib.counting import Counts

ROOT = Path(__file__).parents[2]
INVOKE, PAGE = "Invoke, scheduled", "Page, dry run"


def gate(*options: str, seed: int = 0, slowed: str = "") -> subprocess.CompletedProcess[str]:
    """`bench gate` for two kinds, in a process of its own; `slowed`: the path in which a tenth is lost."""
    program = ["support.slowed", slowed] if slowed else ["bench"]
    env = {**os.environ, "PYTHONHASHSEED": str(seed), "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"}
    words = [sys.executable, "-m", *program, "gate", "--jobs", "1", "--only", INVOKE, PAGE, *options]
    return subprocess.run(words, capture_output=True, text=True, check=False, env=env, cwd=ROOT)


@pytest.fixture(scope="module")
def today(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with today's counts of the two kinds."""
    file = tmp_path_factory.mktemp("gate") / "recorded.json"
    done = gate("--file", str(file), "--record")
    assert done.returncode == 0, done.stderr
    return file


# --- what it says of counts ---


def entry(**counts: int) -> dict[str, Taken]:
    """The counts of one kind, 1,000 of each unless it says otherwise."""
    return {"Act": Taken(10, Counts(**({"bytecodes": 1_000, "bytes": 1_000, "steps": 1_000} | counts)))}


@pytest.mark.parametrize("count", Counts._fields)
def test_a_tenth_more_is_found_even_after_a_gain_that_passed(count: str) -> None:
    """In each count. So the bound is tight enough for any loss of a tenth, whatever was recorded."""
    least = round(1_000 * (1 - BOUND)) + 1
    assert not broken(entry(), entry(**{count: least}))
    assert [change.counted for change in broken(entry(), entry(**{count: round(1.1 * least)}))] == [count]


def test_a_gain_is_found_too() -> None:
    """A later loss would hide in it."""
    (found,) = broken(entry(), entry(steps=900))
    assert found.share == pytest.approx(-0.1)


def test_a_kind_that_only_one_side_has_is_found() -> None:
    """A new one, and one that is gone; and work where there was none."""
    assert len(broken({}, entry())) == len(broken(entry(), {})) == len(Counts._fields)
    assert broken(entry(steps=0), entry(steps=1))
    assert not broken(entry(steps=0), entry(steps=0))


def test_counts_are_compared_per_unit() -> None:
    """A kind may be made of more or fewer commands than when it was recorded."""
    twice = {"Act": Taken(20, Counts(2_000, 2_000, 2_000))}
    assert not broken(entry(), twice)


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    """A line for each kind, for the sake of diffs."""
    file = tmp_path / "recorded.json"
    assert read(file) == {}
    record = {
        "Python 3.11, SQLite 3.40.1": {**entry(), "Invoke": entry()["Act"]},
        "Python 3.12, SQLite 3.45.1": entry(),
    }
    write(record, file)
    assert read(file) == record
    assert sum("bytecodes" in line for line in file.read_text(encoding="utf-8").splitlines()) == 3


def test_the_file_of_the_repository_has_every_kind() -> None:
    """For each pair of versions, and no kind that there is no longer; written as `--record` writes it."""
    record = read(FILE)
    assert pair() in record
    for versions, kinds in record.items():
        assert kinds.keys() == KINDS.keys(), versions
        assert all(taken.units == KINDS[name].units for name, taken in kinds.items())
    assert {kind.work.__module__ for kind in KINDS.values()} == {part.__name__ for part in PARTS}


# --- what it counts ---


@pytest.mark.long
def test_counts_come_again(today: Path, tmp_path: Path) -> None:
    """Processes with other hashes of strings count the same; but for allocations, which may differ a bit."""
    (first,) = read(today).values()
    for seed in (1, 2):
        file = tmp_path / f"{seed}.json"
        done = gate("--file", str(file), "--record", seed=seed)
        assert done.returncode == 0, done.stderr
        (again,) = read(file).values()
        for name, (_, counts) in first.items():
            assert again[name].counts._replace(bytes=counts.bytes) == counts
            assert again[name].counts.bytes == pytest.approx(counts.bytes, rel=BOUND / 10)


@pytest.mark.long
def test_what_takes_as_much_passes(today: Path) -> None:
    """In one line."""
    done = gate("--file", str(today), seed=3)
    assert (done.returncode, done.stdout) == (0, f"gate: 2 kinds take what is on record, within 4% ({pair()})\n")


@pytest.mark.long
@pytest.mark.parametrize("slowed", ["python", "memory", "sql"])
def test_a_loss_of_a_tenth_is_found(slowed: str, today: Path) -> None:
    """Of a command and of a page, and what has to be done is said."""
    found = gate("--file", str(today), slowed=slowed)
    assert found.returncode == 1, found.stdout + found.stderr
    lost = [line for line in found.stdout.splitlines() if "%" in line and line.startswith("│")]
    assert [line.split("│")[1].strip() for line in lost] == [INVOKE, PAGE]
    for line in lost:
        # No other count of the kind has changed.
        (percent,) = re.findall(r"[+-]([0-9.]+)%", line)
        assert 9 < float(percent) < 11
    assert "python -m bench gate --record" in found.stdout


@pytest.mark.long
def test_a_new_value_is_accepted_on_purpose(today: Path, tmp_path: Path) -> None:
    """What has changed, and by how much, is shown; other kinds and other versions stay as they are."""
    file = tmp_path / "recorded.json"
    (kept,) = read(today).values()
    half = {INVOKE: kept[INVOKE]._replace(units=2 * kept[INVOKE].units), "Act": kept[INVOKE]}
    write({pair(): {**kept, **half}, "Python 3.9, SQLite 3.1.0": half}, file)
    shown = gate("--file", str(file), "--record").stdout
    assert "+100.0%" in shown
    assert "2 kinds recorded, 1 of them changed" in shown
    again = read(file)
    assert again["Python 3.9, SQLite 3.1.0"] == half
    assert again[pair()].keys() == {INVOKE, PAGE, "Act"}
    assert again[pair()][INVOKE].units == kept[INVOKE].units


def test_unknown_versions_fail_and_say_how_to_record_them(tmp_path: Path) -> None:
    """Their counts would tell nothing; whoever only tries the project may go on without."""
    file = tmp_path / "recorded.json"
    file.write_text(json.dumps({"Python 3.9, SQLite 3.1.0": {}}), encoding="utf-8")
    for more, code in (((), 1), (("--if-known",), 0)):
        done = gate("--file", str(file), *more)
        assert done.returncode == code
        assert f"no counts of {pair()} are on record" in done.stdout
        assert "python -m bench gate --record" in done.stdout
