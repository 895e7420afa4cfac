"""`flow list`, `show`, `watch` and `cancel`: what is sent, awaited, printed and returned."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

import pytest
from rich.console import Console

from streams.cli.context import Connection
from streams.cli.show import flows
from streams.cli.show.waiting import FlowWaiting
from streams.model import CancelFlow, CancelPolicy, FlowAction, FlowProgress, FlowState, Invocation, OnTimeout
from streams.protocol.routing import partition_of
from support.records.flow_records import flow_progress
from support.service.client_world import ClientWorld
from support.service.stand_in import ME, Service

if TYPE_CHECKING:
    from collections.abc import Iterator

OPEN, CANCELLING = FlowState.OPEN, FlowState.CANCELLING
CANCELLED, PARTIALLY = FlowState.CANCELLED, FlowState.PARTIALLY_CANCELLED
BEGUN = flow_progress(state=CANCELLING, ended=2, pending=5)
DONE = flow_progress(reason="r", actor=ME)
LEFT = flow_progress(state=PARTIALLY, ended=5, failed=2, failures=("i-1", "i-2"))


def answered(service: Service, *found: FlowProgress) -> None:
    """The flow is this, one after the other, once it is cancelled."""

    def answer(_: object) -> Iterator[FlowProgress]:
        yield from found

    service.answer = answer


@pytest.mark.parametrize(
    ("words", "command"),
    [
        ([], {}),
        (["--policy", "cancel-pending"], {"policy": CancelPolicy.CANCEL_PENDING}),
        (["--policy", "flow-only"], {"policy": CancelPolicy.FLOW_ONLY}),
        (["--kill"], {"action": FlowAction.KILL}),
        (["--grace", "2m", "--on-timeout", "leave"], {"grace_ms": 120_000, "on_timeout": OnTimeout.LEAVE}),
        (["--grace", "24h"], {"grace_ms": 86_400_000}),
        (["--reason", "r", "--actor", "me"], {"reason": "r", "actor": "me"}),
    ],
)
@pytest.mark.parametrize("name", ["f", "a/b~c"])
def test_a_cancel_is_one_command(service: Service, name: str, words: list[str], command: dict[str, Any]) -> None:
    """With what was said, and nothing else."""
    result = service.run("flow", "cancel", name, "--yes", "--no-wait", *words)
    assert result.exit_code == 0
    said = {"action": FlowAction.CANCEL, "policy": CancelPolicy.CANCEL_ALL, "actor": ME} | command
    assert service.sent == [CancelFlow(name, **said)]
    assert result.stdout == f"the cancel of flow {name} is in the log: partition 0, offset 0\n"
    assert f"streams flow watch {name}" in result.stderr


@pytest.mark.parametrize("more", [[], ["--json"]])
def test_the_children_of_an_invocation_are_cancelled_without_a_wait(service: Service, more: list[str]) -> None:
    """They publish nothing; how to see them is told."""
    result = service.run("flow", "cancel", "--children-of", "p", "-y", *more)
    assert result.exit_code == 0
    assert service.sent == [
        CancelFlow("p", FlowAction.CANCEL, CancelPolicy.CANCEL_ALL, actor=ME, children=True),
    ]
    if not more:
        assert "streams kill --parent p --dry-run" in result.stderr
    else:
        told = {"flow_id": "p", "children": True, "command": {"partition": 0, "offset": 0}}
        assert json.loads(result.stdout) == told


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "FLOW_ID: say which flow, or --children-of"),
        (["f", "--children-of", "p"], "--children-of: a flow is named, too: leave one of them out"),
        (["f", "--kill", "--grace", "5s"], "--grace: a kill gives no time: leave this out, or --kill"),
        (["f", "--kill", "--on-timeout", "leave"], "--on-timeout: a kill gives no time"),
        (["--children-of", "p", "--wait"], "--wait: children publish no progress"),
        (["f", "--grace", "25h"], "--grace: is longer than 24h, the most there is"),
        (["f", "--grace", "soon"], "--grace: 'soon' is not a duration: write a number and a unit"),
        (["f", "--grace", "0.4ms"], "--grace: '0.4ms' is not a whole number of milliseconds"),
        (["f", "--grace", "-1s"], "--grace: '-1s' is not a duration"),
        (["f", "--timeout", "5"], "--timeout: '5' is not a duration"),
        (["f", "--policy", "some"], "--policy"),
        (["f", "--reason", "x" * 1_001], "--reason: has 1001 characters, at most 1000 are allowed: shorten it"),
        (["f", "--actor", "x" * 1_001], "--actor: has 1001 characters"),
        (["x" * 257], "FLOW_ID: has 257 characters, at most 256 are allowed: shorten it"),
        (["--children-of", ""], "--children-of: is empty: give 1 to 256 characters"),
    ],
)
def test_a_bad_value_is_named_with_the_rule_and_the_way_out(service: Service, words: list[str], said: str) -> None:
    """Exit code 2, and nothing is sent."""
    result = service.run("flow", "cancel", "--yes", *words)
    assert result.exit_code == 2
    shown = " ".join(result.stderr.replace("│", " ").split())
    assert said in shown
    assert service.sent == []


def test_without_a_terminal_a_cancel_wants_yes(service: Service) -> None:
    """A script that did not say so cancels nothing."""
    result = service.run("flow", "cancel", "f")
    assert result.exit_code == 2
    assert "--yes" in result.stderr
    assert service.sent == []


@pytest.mark.parametrize(("answer", "code", "cancels"), [("y\n", 0, 1), ("n\n", 1, 0), ("\n", 1, 0)])
def test_on_a_terminal_the_flow_is_shown_and_only_yes_sends(
    service: Service, answer: str, code: int, cancels: int
) -> None:
    """The question says whom it reaches and what becomes of those that do not end; no answer means no."""
    service.publish(flow_progress(state=OPEN, ended=2, live=5))
    answered(service, BEGUN, DONE)
    result = service.run("flow", "cancel", "f", typed=answer)
    assert result.exit_code == code
    assert len(service.sent) == cancels
    assert "flow f is OPEN: members 7  live 5  pending 0  ended 2  kept 0  failed 0" in result.stderr
    assert "Cancel flow f, and all its members? What has not ended within 30s is killed." in result.stderr
    assert ("nothing was sent" in result.stderr) is not cancels


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        (["f", "--kill"], "Kill flow f, and all its members? ["),
        (["f", "--policy", "flow-only"], "Cancel flow f, and none of its members? ["),
        (
            ["--children-of", "f", "--policy", "cancel-pending", "--grace", "2m", "--on-timeout", "leave"],
            "Cancel the children of f, and its members that have not started? What has not ended within 2m is left.",
        ),
    ],
)
def test_the_question_says_what_is_meant(service: Service, words: list[str], asked: str) -> None:
    """Also for a flow that nobody has joined yet."""
    result = service.run("flow", "cancel", *words, typed="n\n")
    assert asked in result.stderr
    assert ("flow f is not known: who joins it later is reached" in result.stderr) is (words[0] == "f")


def test_a_cancel_of_a_cancelled_flow_says_what_stays(service: Service) -> None:
    """Before the question, and once it is done; what stood there before is not taken for the answer."""
    service.publish(flow_progress(reason="first"))
    answered(service, flow_progress(reason="first"))
    result = service.run("flow", "cancel", "f", "--policy", "cancel-pending", "--reason", "second", typed="y\n")
    assert result.exit_code == 0
    assert "its cancel stays (CANCEL_ALL, reason first); only more than that is taken over" in result.stderr
    assert "an earlier cancel stays: CANCEL, CANCEL_ALL, reason first" in result.stderr


@pytest.mark.parametrize(
    ("last", "code", "said"),
    [
        (DONE, 0, ""),
        (LEFT, 3, "flow f: 2 members did not end within their grace and were left: i-1, i-2. Cancelled again"),
        (flow_progress(state=PARTIALLY, failed=9, failures=("i-1",)), 3, "9 members did not end"),
    ],
)
@pytest.mark.parametrize("verb", [["cancel", "f", "-y"], ["watch", "f"]])
def test_the_exit_code_tells_a_flow_that_is_cancelled_from_one_that_left_members(
    service: Service, verb: list[str], last: FlowProgress, code: int, said: str
) -> None:
    """0 and 3; the failures are named."""
    answered(service, BEGUN, last)
    if verb[0] == "watch":
        service.publish(BEGUN, last)
    result = service.run("flow", *verb, "--json")
    assert result.exit_code == code
    assert said in result.stderr
    shown = json.loads(result.stdout)
    assert (shown["state"], shown["failures"]) == (last.state, list(last.failures))
    assert ("command" in shown) is (verb[0] == "cancel")
    assert "error" not in result.stderr or code


def test_a_wait_ends_in_time_and_the_cancel_goes_on(service: Service) -> None:
    """Exit code 1, with the flow as it stands."""
    answered(service, BEGUN)
    result = service.run("flow", "cancel", "f", "-y", "--timeout", "50ms")
    assert result.exit_code == 1
    assert "flow f is CANCELLING and not CANCELLED or PARTIALLY_CANCELLED after 0.05 s; it goes on" in result.stderr
    assert "CANCELLING" in result.stdout


@pytest.mark.parametrize("verb", [["cancel", "f", "-y"], ["watch", "f"]])
def test_ctrl_c_changes_nothing(service: Service, verb: list[str]) -> None:
    """Exit code 130, and how to watch it again."""

    def answer(_: object) -> Iterator[FlowProgress]:
        yield BEGUN
        raise KeyboardInterrupt

    service.answer = answer
    if verb[0] == "watch":
        assert service.run("flow", "cancel", "f", "-y", "--no-wait").exit_code == 0
    result = service.run("flow", *verb)
    assert result.exit_code == 130
    assert "streams flow watch f" in result.stderr
    assert "error" not in result.stderr
    assert len(service.sent) == 1


def test_a_cancel_of_a_flow_that_nobody_has_joined_asks_whether_the_id_is_right(service: Service) -> None:
    """It is cancelled all the same."""
    answered(service, flow_progress(members=0, ended=0))
    result = service.run("flow", "cancel", "f", "-y")
    assert result.exit_code == 0
    assert "flow f has no members: is the id right? Who joins it later is reached" in result.stderr


def test_flows_are_listed_the_last_changed_first(service: Service) -> None:
    """As a table, in one state only, or as JSON."""
    service.publish(flow_progress("old"), flow_progress("new", OPEN, updated_at=9_000, ended=6, live=1), LEFT)
    lines = service.run("flow", "list").stdout.splitlines()
    assert [line.split()[:4] for line in lines[1:]] == [
        ["new", "OPEN", "-", "-"],
        ["old", "CANCELLED", "CANCEL", "CANCEL_ALL"],
        ["f", "PARTIALLY_CANCELLED", "CANCEL", "CANCEL_ALL"],
    ]
    assert lines[1].split()[4:10] == ["7", "1", "0", "6", "0", "0"]
    only = json.loads(service.run("flow", "list", "--state", "open", "--json").stdout)
    assert [each["flow_id"] for each in only["flows"]] == ["new"]
    assert service.run("flow", "list", "--state", "cancelling").stderr == "no flow is CANCELLING\n"


def test_a_flow_is_shown_whole(service: Service) -> None:
    """Its cancel, its numbers, the reconciler's next time, its failures; one that is not known is an error."""
    service.publish(
        flow_progress(state=CANCELLING, pending=2, failed=1, ended=4, failures=("i-1",), escalated_by="eve")
    )
    shown = {
        line.split()[0]: line.split(None, 1)[1].strip() for line in service.run("flow", "show", "f").stdout.splitlines()
    }
    assert shown["grace"] == "30 s, then KILL"
    assert shown["escalated"] == "by  eve"
    assert shown["reconciler"] == "looks after it, asks again after 1970-01-01 00:00:03Z"
    assert (shown["pending"], shown["failures"]) == ("2", "i-1")
    assert json.loads(service.run("flow", "show", "f", "--json").stdout)["escalated_by"] == "eve"
    service.publish(flow_progress(action=FlowAction.KILL))
    assert "grace" not in service.run("flow", "show", "f").stdout
    missing = service.run("flow", "show", "g")
    assert missing.exit_code == 1
    assert "flow g is not known" in str(missing.exception)


def test_an_invocation_joins_a_flow_and_has_a_parent(service: Service) -> None:
    """As the options say."""
    result = service.run("invoke", "mail", "send", "--id", "i", "--flow", "f", "--parent", "p")
    assert result.exit_code == 0
    assert service.sent[0].invocation == Invocation("i", "mail", "send", flow_id="f", parent_id="p")
    refused = service.run("invoke", "mail", "send", "--flow", "")
    assert (refused.exit_code, len(service.sent)) == (2, 1)
    assert "--flow: is empty: give 1 to 256 characters" in refused.stderr


def test_the_bar_shows_how_many_of_those_asked_have_ended() -> None:
    """From the most that were pending at once; who joins later makes it longer."""
    console = Console(file=io.StringIO(), width=80, force_terminal=True, color_system=None)
    bar = flows.FlowBar(console)

    def lines() -> list[str]:
        with console.capture() as captured:
            console.print(bar)
        found = captured.get().splitlines()
        assert all(len(each) <= 80 for each in found)
        return [each.rstrip() for each in found]

    assert lines()[1] == "waiting for the flow's worker ..."
    bar.update(flow_progress(state=OPEN, live=4, ended=3))
    assert "%" not in lines()[0]
    for pending, share in ((4, " 0%"), (1, "75%"), (8, " 0%"), (2, "75%"), (0, "100%")):
        bar.update(flow_progress(state=CANCELLING if pending else CANCELLED, pending=pending, ended=7 - pending))
        assert lines()[0].endswith(share)
    assert lines()[1] == "members 7  live 0  pending 0  ended 7  kept 0  failed 0"


def test_who_waits_for_a_flow_is_told_what_for(capsys: pytest.CaptureFixture[str]) -> None:
    """The flow's own partition while nothing comes at all; members and reconciler once it is cancelled."""
    world, now = ClientWorld(), [1_000.0]
    told = FlowWaiting(Connection(world.settings, world.cluster), "f", lambda: now[0])

    def said(newest: FlowProgress | None) -> str:
        for _ in range(200):
            told(newest)
            now[0] += 0.1
        return capsys.readouterr().err

    question = f"waiting for partition {partition_of('f', 4)} of t.commands: is a worker running that has it?\n"
    assert said(None) == question
    assert said(flow_progress(state=OPEN, revision=6)) == ""
    assert said(flow_progress(state=CANCELLING, pending=2, revision=7)) == (
        "2 members are asked and have not ended: do workers run for all partitions, and executors? The reconciler asks "
        "again after 1970-01-01 00:00:03Z\n"
    )
