"""Page sizes follow the time budget."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.engine.answers import MAX_BYTES, PageSizes
from streams.model import (
    Act,
    ContinueSlice,
    Invoke,
    MemberEnded,
    ReportTransition,
    StartBatch,
    StartSlice,
)
from streams.worker.page_sizes import (
    FIRST,
    LARGEST,
    SMALLEST,
    Budget,
    Measured,
    MeasuredPieces,
    Pieces,
    Stopwatch,
    TunedSizes,
    first_sizes,
)


def tuned(
    sizes: PageSizes,
    pages: list[Measured],
    budget_ms: float,
    ticks: list[MeasuredPieces] | None = None,
    most: int = 1_000,
    *,
    usual: int | None = None,
) -> PageSizes:
    """The sizes of a batch after a turn with these pages, `sizes` before it."""
    known = TunedSizes(most)
    known._batches[0][""] = sizes
    known._pieces[0]["max_due"] = sizes.max_due
    known.learn(pages, ticks or [], budget_ms, usual)
    return known.batches(0)[""]._replace(max_due=known.others(0).max_due)


def _dense(size: int, took_ms: float) -> Measured:
    """A page that filled its share of matches."""
    return Measured(PageSizes(5_000, size), size, size, took_ms)


def test_a_slow_page_full_of_matches_shrinks_the_number_of_matches() -> None:
    """A page that took longer than its budget is followed by one of fewer matches; looks stay."""
    assert tuned(PageSizes(5_000, 1_200), [_dense(1_200, 6)], 5) == PageSizes(5_000, 1_000)


def test_a_fast_page_without_matches_grows_the_number_of_looks() -> None:
    """A page that looked at all it might and found little is followed by one that looks at more."""
    sizes = PageSizes(5_000, 1_000)
    assert tuned(sizes, [Measured(sizes, 5_000, 3, 1)], 5) == PageSizes(15_000, 1_000)


def test_the_last_page_of_a_slice_says_nothing() -> None:
    """A page that filled neither share leaves the sizes as they are."""
    assert tuned(FIRST, [Measured(FIRST, 10, 10, 0.01)], 5) == FIRST


def test_a_turn_without_pages_says_nothing() -> None:
    """Where no page was handled the sizes stay."""
    assert tuned(FIRST, [], 5) == FIRST


def test_the_pages_of_a_turn_share_the_budget_and_count_once() -> None:
    """Pages that took their budget leave the sizes; of those that took longer, what took more than its part shrinks."""
    sizes = PageSizes(5_000, 900)
    assert tuned(sizes, [_dense(900, 1.25)] * 4, 5) == sizes
    assert tuned(sizes, [_dense(900, 2.5)] * 4, 5) == PageSizes(5_000, 450)
    known = TunedSizes(1_000)
    known.learn([_dense(900, 10)._replace(batch_id="slow"), _dense(900, 1)], [], 5)
    assert known.batches(0) == {"slow": FIRST._replace(max_matched=225), "": FIRST._replace(max_matched=900)}


def test_pages_may_take_as_long_as_a_commit() -> None:
    """Below what is set nothing changes; above it the budget follows what commits usually take, up to twice."""
    budget = Budget(15)
    for took_s, low, high in ((0.005, 15, 15), (0.024, 20, 24), (2.0, 29, 30), (0.001, 15, 15)):
        for _ in range(40):
            budget.committed(took_s)
        assert low <= budget.ms <= high


def test_one_slow_commit_says_little() -> None:
    """A single one moves the budget by a tenth of the difference."""
    budget = Budget(15)
    budget.committed(0.025)
    assert budget.ms == pytest.approx(16)


@pytest.mark.parametrize("kind", [Invoke, ReportTransition, Act])
def test_pages_are_short_while_clients_wait(kind: type) -> None:
    """For a second after each command, however long Kafka takes; a turn's own time bounds what calm may cost."""
    budget = Budget(15)
    for _ in range(40):
        budget.committed(0.024)
    slow = budget.ms
    budget.came({ContinueSlice: 2, kind: 1}, 1, now_s=5)
    assert budget.ms == 2.5
    budget.came({ContinueSlice: 2}, 80, now_s=5.9)
    assert budget.ms == pytest.approx(8)
    budget.came({kind: 5_000}, 400, now_s=5.95)
    assert budget.ms == 15
    budget.came({ContinueSlice: 2}, 1, now_s=6.99)
    assert budget.ms == slow > 20


def test_no_budget_is_greater_than_what_is_set_while_clients_wait() -> None:
    """A smaller setting stays."""
    budget = Budget(2)
    budget.came({Invoke: 1}, 400, now_s=1)
    assert budget.ms == 2


def test_a_batch_does_not_wait_for_its_own_start() -> None:
    """Commands that begin pages, records of other partitions, and pages: nobody waits beside them."""
    budget = Budget(15)
    budget.came({StartBatch: 1, StartSlice: 1, ContinueSlice: 4, MemberEnded: 9}, 1, now_s=0)
    assert budget.ms == 15


def test_answers_that_a_batch_asked_for_are_nobodys_waiting() -> None:
    """However many come; one command beside them is somebody's."""
    budget = Budget(15)
    budget.came({ReportTransition: 500}, 20, now_s=0, answers=500)
    assert (budget.ms, budget.waited_for) == (15, False)
    budget.came({ReportTransition: 500, Invoke: 1}, 20, now_s=1, answers=500)
    assert (budget.ms, budget.waited_for) == (2.5, True)


def test_a_page_is_charged_for_what_follows_from_its_rows() -> None:
    """Where clients wait, as often as it says, but for what a page takes whatever is in it; else nothing."""
    sizes = PageSizes(5_000, 1_000)
    page = _dense(1_000, 1.8)._replace(cost=5)
    assert tuned(sizes, [page], 5.8, usual=1) == sizes
    assert tuned(sizes, [page], 2.9, usual=1) == PageSizes(5_000, 500)
    assert tuned(sizes, [_dense(1_000, 0.5)._replace(cost=5)], 0.5, usual=1) == sizes
    assert tuned(sizes, [page], 1.8) == sizes


def test_pages_besides_the_usual_ones_make_the_next_ones_no_smaller() -> None:
    """Where clients wait, two of a turn that should have one have its time each; two that should be two share it."""
    sizes = PageSizes(5_000, 1_000)
    pages = [_dense(1_000, 4), _dense(1_000, 4)]
    assert tuned(sizes, pages, 4, usual=1) == sizes
    assert tuned(sizes, pages, 4, usual=2) == PageSizes(5_000, 500)
    assert tuned(sizes, pages[:1], 4, usual=2) == sizes
    assert tuned(sizes, pages, 4) == PageSizes(5_000, 500)


def test_a_page_is_measured_against_what_it_was_allowed() -> None:
    """A page written before the sizes grew says what its own size costs, so that growth does not run ahead of it."""
    assert tuned(PageSizes(5_000, 1_500), [_dense(1_000, 5)], 5) == PageSizes(5_000, 1_000)


def test_a_page_ended_by_its_bytes_does_not_look_at_rows_that_it_cannot_take() -> None:
    """If it took too long, the next one is no larger than it could be; if it did not, nothing changes."""
    sizes = PageSizes(5_000, 9_000)
    by_bytes = Measured(sizes, 4_000, 400, 10)
    assert tuned(sizes, [by_bytes], 5) == PageSizes(5_000, 200)
    assert tuned(sizes, [by_bytes._replace(took_ms=4)], 5) == sizes


def test_pages_that_were_cut_grow_again_slowly() -> None:
    """So that a broker that stays slow ends few of them, and one that has recovered is not held up for ever."""
    sizes = TunedSizes(1_000)
    sizes.cut(ContinueSlice(1, 0, "b", 1, 500, 120, MAX_BYTES // 4))
    assert sizes.batches(0) == {"b": PageSizes(500, 120)}
    assert sizes.others(0).max_bytes == MAX_BYTES // 4
    assert sizes.others(1).max_bytes == 0
    pages = 0
    while sizes.others(0).max_bytes:
        sizes.learn([_dense(100, 1)], [], 15)
        pages += 1
    assert 20 < pages < 40


def test_what_is_due_follows_the_budget_as_pages_do() -> None:
    """A tick that was full says what a piece of its work costs, one that was not says nothing; both are charged."""
    sizes = PageSizes(5_000, 900, 300)
    assert tuned(sizes, [], 5, [MeasuredPieces(300, filled=True, took_ms=6)]) == PageSizes(5_000, 900, 250)
    assert tuned(sizes, [], 5, [MeasuredPieces(300, filled=False, took_ms=6)]) == sizes
    slow = [MeasuredPieces(300, filled=False, took_ms=5)]
    assert tuned(sizes, [_dense(900, 5)], 5, slow) == PageSizes(5_000, 450, 300)


@pytest.mark.parametrize("size", ["max_asked", "max_members"])
def test_pages_of_flows_follow_the_budget_as_pages_do(size: Pieces) -> None:
    """Each kind learns from its own, on its own partition, within its bounds."""
    sizes = TunedSizes(1_000)
    first = sizes.others(0)
    sizes.learn([], [MeasuredPieces(900, filled=False, took_ms=50, size=size)], 5)
    assert sizes.others(0) == first
    sizes.learn([], [MeasuredPieces(900, filled=True, took_ms=6, size=size)], 5)
    assert sizes.others(0) == first._replace(**{size: 750})
    assert sizes.others(1) == first
    for took_ms, bound in ((1e6, SMALLEST), (0, LARGEST)):
        for _ in range(20):
            allowed = getattr(sizes.others(0), size)
            sizes.learn([], [MeasuredPieces(allowed, filled=True, took_ms=took_ms, size=size)], 5)
        assert getattr(sizes.others(0), size) == getattr(bound, size)


@pytest.mark.parametrize(("took_ms", "most", "size"), [(0.1, 400, 400), (0.1, 7, 7), (500, 1_000, 50), (500, 30, 30)])
def test_a_tick_never_does_more_than_it_may(took_ms: float, most: int, size: int) -> None:
    """However fast it is, and one that is slow still makes progress."""
    tick = MeasuredPieces(300, filled=True, took_ms=took_ms)
    assert tuned(PageSizes(400, 100, 300), [], 5, [tick], most).max_due == size
    assert first_sizes(most).max_due == min(most, FIRST.max_due)


def test_a_stopwatch_counts_work_in_full_and_waiting_by_a_quarter() -> None:
    """A thread that sleeps is charged for a part of it only."""
    watch = Stopwatch()
    time.sleep(0.2)
    assert 40 < watch.ms() < 150


@given(
    st.integers(SMALLEST[0], LARGEST[0]),
    st.integers(SMALLEST[1], LARGEST[1]),
    st.floats(0, 1e6),
    st.floats(0.01, 1_000),
    st.booleans(),
)
def test_sizes_never_leave_their_bounds(scanned: int, matched: int, took: float, budget: float, dense: bool) -> None:  # noqa: FBT001
    """Whatever a page took, the next one is neither empty nor boundless."""
    allowed = PageSizes(scanned, matched)
    sizes = tuned(allowed, [Measured(allowed, scanned, matched if dense else 0, took)], budget)
    assert SMALLEST.max_scanned <= sizes.max_scanned <= LARGEST.max_scanned
    assert SMALLEST.max_matched <= sizes.max_matched <= LARGEST.max_matched


@pytest.mark.parametrize("lag", [1, 2])
@pytest.mark.parametrize("costs_us", [(2, 60), (2, 2, 60), (2, 60, 60), (1, 1, 1, 200), (2,) * 19 + (60,)])
def test_unequal_batches_in_rotation_keep_the_budget(costs_us: tuple[float, ...], lag: int) -> None:
    """However much batches differ in what a row costs, after their first pages none takes a few budgets."""
    sizes, budget_ms = TunedSizes(1_000), 15.0

    def next_size(turn: int) -> PageSizes:
        return sizes.batches(0).get(str(turn % len(costs_us)), sizes.others(0))

    written = [next_size(turn) for turn in range(lag)]
    took: list[float] = []
    for turn in range(40 * len(costs_us)):
        allowed = written[turn]
        took.append(allowed.max_matched * costs_us[turn % len(costs_us)] / 1_000)
        page = Measured(allowed, allowed.max_matched, allowed.max_matched, took[-1], 0, str(turn % len(costs_us)))
        sizes.learn([page], [], budget_ms)
        written.append(next_size(turn + lag))
    assert max(took[3 * len(costs_us) :]) < 2 * budget_ms
    assert min(took[-len(costs_us) :]) > 0.6 * budget_ms


def test_partitions_and_batches_have_sizes_of_their_own() -> None:
    """A batch or partition not seen begins small, and a batch that is over is forgotten."""
    sizes = TunedSizes(1_000)
    fast = Measured(FIRST, 2_000, 500, 1, 0, "a")
    sizes.learn([fast], [MeasuredPieces(200, filled=True, took_ms=1)], 15)
    assert sizes.batches(0) == {"a": FIRST._replace(max_matched=3 * FIRST.max_matched)}
    assert sizes.others(0) == FIRST._replace(max_due=600)
    assert (sizes.batches(1), sizes.others(1)) == ({}, FIRST)
    sizes.learn([fast._replace(last=True)], [], 15)
    assert sizes.batches(0) == {}


def test_sizes_of_few_batches_are_kept() -> None:
    """Batches that never end do not fill the memory: those without a page for longest begin small again."""
    sizes = TunedSizes(1_000)
    for number in range(1_000):
        sizes.learn([Measured(FIRST, 2_000, 500, 1, 0, str(number))], [], 15)
    assert list(sizes.batches(0)) == [str(number) for number in range(900, 1_000)]


@pytest.mark.parametrize("usual", [1, 2, 4, 16])
def test_with_many_partitions_a_page_has_time_for_more_than_itself(usual: int) -> None:
    """Where clients wait: a page takes most of a millisecond whatever is in it, and would only shrink."""
    sizes = PageSizes(5_000, 250)
    assert tuned(sizes, [_dense(250, 1.55)] * usual, 2.5, usual=usual).max_matched >= 250
    assert tuned(sizes, [_dense(100, 1.1)] * usual, 2.5, usual=usual).max_matched > 100
    assert tuned(sizes, [_dense(250, 5.0)] * usual, 2.5, usual=usual).max_matched < 250
