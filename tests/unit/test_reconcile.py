"""What a history proves, clause by clause: absence counts only where the history has earned trust."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from batchmod import reconcile
from batchmod.model import Attempt, HistoryRow
from batchmod.reconcile import Found, Known, NeverAccepted, StillOpen, Verdict, Walk
from tests import given

SENT = 10_000.0
GRACE = 600.0
LATER = SENT + 10 * GRACE
OURS = Known(request_id="known", body={"prompt": "known"})


def row(request_id: str, prompt: str | None = "wool", at: float | None = SENT, **fields: Any) -> HistoryRow:
    """A history's row; `prompt` None: its inputs cannot be read."""
    inputs = None if prompt is None else {"prompt": prompt}
    return HistoryRow(request_id=request_id, at=at, status="COMPLETED", **{"inputs": inputs, **fields})


PROOF = row("known", "known", at=SENT - 50)


def walk(*rows: HistoryRow, **fields: Any) -> Walk:
    return Walk(rows=rows, **{"complete": True, **fields})


def resolve(*attempts: Attempt, of: Walk, known: tuple[Known, ...] = (OURS,), now: float = LATER) -> list[Verdict]:
    return reconcile.resolve(attempts or (given.attempt(),), walk=of, known=known, now=now, grace_s=GRACE)


def verdict(*rows: HistoryRow, attempt: Attempt | None = None, **more: Any) -> Verdict:
    """The verdict on one attempt, by a walk that shows a request we hold and these rows."""
    (found,) = resolve(attempt or given.attempt(), of=walk(PROOF, *rows), **more)
    return found


def reason(found: Verdict) -> str:
    assert isinstance(found, StillOpen)
    return found.reason


def test_a_request_is_found_by_its_inputs() -> None:
    found = verdict(row("other", "clay"), row("mine"))

    assert isinstance(found, Found)
    assert found.row.request_id == "mine"


@pytest.mark.parametrize(
    ("body", "inputs", "same"),
    [
        ({"a": 1}, {"a": 1, "seed": 7}, True),
        ({"a": 1, "b": 2}, {"a": 1}, False),
        ({"a": {"x": 1, "y": [1, 2]}}, {"a": {"y": [1, 2], "x": 1}}, True),
        ({"a": [1, 2]}, {"a": [2, 1]}, False),
        ({"a": "ä"}, {"a": "ä"}, True),
        ({"a": "1"}, {"a": 1}, False),
        ({"a": 1}, {"a": True}, False),
        ({"a": None}, {}, True),
        ({"a": 1}, None, False),
        (None, {}, False),
        ("text", {"a": 1}, False),
    ],
)
def test_inputs_are_ours_if_every_field_we_sent_is_there(body: Any, inputs: dict[str, Any] | None, same: bool) -> None:  # noqa: FBT001
    assert reconcile.same_inputs(body, inputs) == same


def test_a_walk_that_did_not_prove_itself_may_still_find() -> None:
    (found,) = resolve(of=walk(row("mine"), complete=False, problem="page 2 timed out"), known=(), now=SENT)

    assert isinstance(found, Found)


@pytest.mark.parametrize("at", [SENT - 600, SENT - 1, SENT + 1, SENT + 86_400 * 30, None])
def test_the_window_opens_ten_minutes_early_and_never_closes(at: float | None) -> None:
    assert isinstance(verdict(row("mine", at=at)), Found)


def test_an_equal_row_from_before_the_window_is_not_taken_and_keeps_the_request_open() -> None:
    """A clock or a zone may have been wrong."""
    found = verdict(row("older", at=SENT - 601))

    assert reason(found) == reconcile.SAME_INPUTS
    assert not reconcile.readable(found)


def test_nor_is_it_overlooked_where_the_history_has_not_proved_itself() -> None:
    assert reason(verdict(row("older", at=SENT - 601), known=())) == reconcile.SAME_INPUTS


@pytest.mark.parametrize("hours", [-8, -1])
def test_the_window_opens_as_much_earlier_as_requests_that_we_hold_are_stamped(hours: int) -> None:
    early = SENT + hours * 3600.0
    proof = Known(request_id="known", body={"prompt": "known"}, sent_at=SENT - 50)
    shown = walk(row("known", "known", at=early - 50), row("mine", at=early + 2))

    (found,) = resolve(of=shown, known=(proof,))
    assert isinstance(found, Found)
    (unread,) = resolve(of=walk(shown.rows[0], row("secret", None, at=early)), known=(proof,))
    assert "readable inputs" in reason(unread)
    (gone,) = resolve(of=walk(shown.rows[0], row("secret", None, at=early - 700)), known=(proof,))
    assert isinstance(gone, NeverAccepted)


def test_a_request_that_is_stamped_late_does_not_close_the_window() -> None:
    late = Known(request_id="known", body={"prompt": "known"}, sent_at=SENT - 9000)

    assert isinstance(verdict(row("mine", at=SENT - 300), known=(late,)), Found)


CONTRACT = frozenset({"prompt", "frame"})


@pytest.mark.parametrize(
    ("further", "same"),
    [({}, True), ({"frame": None}, True), ({"frame": ""}, True), ({"seed": 7}, True), ({"frame": "f.png"}, False)],
)
def test_a_field_of_the_contract_that_we_did_not_send_makes_it_anothers(further: dict[str, Any], same: bool) -> None:  # noqa: FBT001
    inputs = {"prompt": "wool", **further}

    assert reconcile.same_inputs({"prompt": "wool"}, inputs, contract=CONTRACT) == same
    shown = walk(PROOF, HistoryRow(request_id="theirs", at=SENT, status="COMPLETED", inputs=inputs))
    (found,) = reconcile.resolve(
        [given.attempt()], walk=shown, known=[OURS], contract=CONTRACT, now=LATER, grace_s=GRACE
    )
    assert isinstance(found, Found if same else NeverAccepted)


@pytest.mark.parametrize(
    ("theirs", "same"),
    [
        ({"prompt": "wool"}, True),
        ({"prompt": "wool", "seed": 7}, True),
        ({"prompt": "wool", "frame": None}, True),
        ({"prompt": "wool", "frame": {"url": "f.png"}}, False),
        ({"frame": "f.png"}, False),
        ("wool", False),
    ],
)
def test_a_field_inside_another_is_the_contracts_too(theirs: Any, same: bool) -> None:  # noqa: FBT001
    ours = {"input": {"prompt": "wool"}}

    assert reconcile.same_inputs(ours, {"input": theirs, "id": 1}, contract={"input.frame", "input.prompt"}) == same


def test_a_field_that_we_ever_sent_there_is_the_contracts() -> None:
    ours = Known(request_id="known", body={"prompt": "known", "frame": "f.png"})
    proof = replace(PROOF, inputs=ours.body)
    theirs = HistoryRow(request_id="theirs", at=SENT, status="", inputs={"prompt": "wool", "frame": "g.png"})
    (found,) = resolve(of=walk(proof, theirs), known=(ours,))

    assert isinstance(found, NeverAccepted)


def test_a_row_that_a_rival_may_own_is_given_to_nobody_and_proves_no_absence() -> None:
    """The rival is still in the air: whether the row is its own is not known yet."""
    rival = given.attempt(2, sent_at=SENT + 30)
    (found,) = reconcile.resolve(
        [given.attempt()], walk=walk(PROOF, row("one")), known=[OURS], rivals=[rival], now=LATER, grace_s=GRACE
    )

    assert reason(found) == reconcile.SAME_INPUTS
    assert not reconcile.readable(found)


def test_a_rivals_row_for_the_same_clip_is_not_ours_written_otherwise() -> None:
    ours, theirs = ({"video_url": "https://x.example/a.mp4", "prompt": prompt} for prompt in ("wool", "clay"))
    rival = given.attempt(2, body=theirs)
    shown = walk(PROOF, HistoryRow(request_id="theirs", at=SENT, status="", inputs=theirs))
    (found,) = reconcile.resolve(
        [given.attempt(body=ours)], walk=shown, known=[OURS], rivals=[rival], now=LATER, grace_s=GRACE
    )

    assert isinstance(found, NeverAccepted)


def test_a_rival_does_not_hold_what_was_made_before_it_left() -> None:
    rival = given.attempt(2, sent_at=SENT + 5000)
    (found,) = reconcile.resolve(
        [given.attempt()], walk=walk(PROOF, row("mine")), known=[OURS], rivals=[rival], now=LATER, grace_s=GRACE
    )

    assert isinstance(found, Found)


def test_a_clock_that_is_seen_to_be_off_widens_the_window() -> None:
    shifted = walk(PROOF, row("mine", at=SENT - 3600), skew_s=-3590.0)

    assert isinstance(resolve(of=shifted)[0], Found)
    assert reconcile.window_start(given.attempt(sent_at=SENT), -3590.0) == SENT - 3650
    assert reconcile.window_start(given.attempt(sent_at=SENT), 30.0) == SENT - 600


def test_an_id_we_hold_already_is_never_given_again() -> None:
    mine = Known(request_id="taken", body={"prompt": "wool"})
    (found,) = resolve(of=walk(PROOF, row("taken")), known=(OURS, mine))

    assert isinstance(found, NeverAccepted)


def test_one_row_serves_one_attempt() -> None:
    first, second = resolve(given.attempt(1), given.attempt(2), of=walk(PROOF, row("only")))

    assert isinstance(first, Found)
    assert isinstance(second, NeverAccepted)


def test_among_equal_rows_the_nearest_in_time_is_taken() -> None:
    early, late = given.attempt(1, sent_at=SENT), given.attempt(2, sent_at=SENT + 100)
    found = resolve(
        early, late, of=walk(PROOF, row("b", at=SENT + 103), row("a", at=SENT + 2), row("c", at=SENT + 400))
    )

    assert [verdict.row.request_id for verdict in found if isinstance(verdict, Found)] == ["a", "b"]


def test_a_row_with_a_time_goes_before_one_without() -> None:
    found = verdict(row("timeless", at=None), row("timed", at=SENT + 5))

    assert isinstance(found, Found)
    assert found.row.request_id == "timed"


def test_a_request_that_is_listed_once_for_each_output_is_one_request() -> None:
    first, second = resolve(given.attempt(1), given.attempt(2), of=walk(PROOF, row("twice"), row("twice")))

    assert isinstance(first, Found)
    assert isinstance(second, NeverAccepted)


def test_of_a_request_listed_twice_the_readable_line_counts() -> None:
    found = verdict(row("mine"), row("mine", None, at=SENT - 9000))

    assert isinstance(found, Found)


def test_an_id_that_is_somebodys_already_is_never_given_and_is_no_request_of_ours() -> None:
    shown = walk(PROOF, row("theirs"))
    (found,) = reconcile.resolve(
        [given.attempt()], walk=shown, known=[OURS], taken={"theirs"}, now=LATER, grace_s=GRACE
    )
    assert isinstance(found, NeverAccepted)

    (unproven,) = reconcile.resolve(
        [given.attempt()], walk=walk(PROOF), known=[], taken={"known"}, now=LATER, grace_s=GRACE
    )
    assert reason(unproven) == reconcile.UNPROVEN


def test_a_request_that_a_proven_history_does_not_show_was_never_accepted() -> None:
    assert isinstance(verdict(row("other", "clay")), NeverAccepted)


@pytest.mark.parametrize("known", [(), (Known(request_id="elsewhere", body={"prompt": "known"}),)])
def test_a_history_that_shows_no_request_we_hold_proves_nothing(known: tuple[Known, ...]) -> None:
    assert reason(verdict(known=known)) == reconcile.UNPROVEN


def test_an_id_we_hold_without_readable_inputs_proves_nothing() -> None:
    (found,) = resolve(of=walk(replace(PROOF, inputs=None)))

    assert reason(found) == reconcile.UNPROVEN


def test_a_history_that_changes_what_was_sent_proves_nothing() -> None:
    """It may have changed the inputs of the request that is looked for, too."""
    mangled = Known(request_id="mangled", body={"prompt": "a 🧶 doll"})
    found = verdict(row("mangled", "a ? doll"), known=(OURS, mangled))

    assert reason(found) == reconcile.NOT_RECOGNISED
    assert not reconcile.readable(found)


@pytest.mark.parametrize("at", [SENT - 600, SENT, None])
def test_an_unclaimed_request_without_readable_inputs_may_be_ours(at: float | None) -> None:
    assert "readable inputs" in reason(verdict(row("secret", None, at=at)))


def test_one_from_before_the_window_is_not() -> None:
    assert isinstance(verdict(row("secret", None, at=SENT - 601)), NeverAccepted)


def test_nor_is_one_we_hold() -> None:
    held = Known(request_id="secret", body={"prompt": "clay"})

    assert isinstance(verdict(row("secret", None), known=(OURS, held)), NeverAccepted)


def test_a_walk_that_did_not_reach_back_proves_nothing() -> None:
    (found,) = resolve(of=walk(PROOF, complete=False))

    assert "reach back" in reason(found)


def test_a_walk_with_a_problem_says_what_it_was() -> None:
    (found,) = resolve(of=walk(PROOF, problem="HTTP 503"))

    assert reason(found) == "HTTP 503"


def test_a_history_gets_time_to_catch_up() -> None:
    assert verdict(now=SENT + GRACE - 1) == StillOpen(
        attempt=given.attempt(), reason=reconcile.IN_GRACE, until=SENT + GRACE
    )
    assert isinstance(verdict(now=SENT + GRACE), NeverAccepted)


def test_grace_counts_from_when_the_attempt_was_seen_dead() -> None:
    """A run that begins a week after the kill has only now begun to watch."""
    died = given.attempt(seen_dead_at=SENT + 7 * 86_400)
    over = SENT + 7 * 86_400 + GRACE

    assert verdict(attempt=died, now=over - 1) == StillOpen(attempt=died, reason=reconcile.IN_GRACE, until=over)
    assert isinstance(verdict(attempt=died, now=over), NeverAccepted)


def test_grace_never_counts_from_before_the_request_left() -> None:
    odd = given.attempt(seen_dead_at=SENT - 5000)

    assert reason(verdict(attempt=odd, now=SENT + GRACE - 1)) == reconcile.IN_GRACE


@pytest.mark.parametrize(
    ("found", "readable"),
    [
        (NeverAccepted(attempt=given.attempt()), True),
        (StillOpen(attempt=given.attempt(), reason=reconcile.UNPROVEN), True),
        (StillOpen(attempt=given.attempt(), reason=reconcile.IN_GRACE, until=1.0), True),
        (StillOpen(attempt=given.attempt(), reason="HTTP 503"), False),
        (Found(attempt=given.attempt(), row=row("mine")), False),
    ],
)
def test_a_walk_was_readable_if_it_simply_did_not_show_the_request(found: Verdict, readable: bool) -> None:  # noqa: FBT001
    assert reconcile.readable(found) == readable


def test_an_id_that_is_listed_with_two_inputs_hides_neither() -> None:
    found = verdict(row("odd", "clay", at=SENT - 5000), row("odd", "wool", at=SENT - 5000))

    assert isinstance(found, StillOpen)


rows = st.builds(
    row,
    st.sampled_from(["a", "b", "c", "d", "known"]),
    st.sampled_from(["wool", "clay", "known", None]),
    st.one_of(st.none(), st.floats(SENT - 2000, SENT + 2000)),
)
walks = st.builds(
    Walk, rows=st.lists(rows, max_size=8).map(tuple), complete=st.booleans(), skew_s=st.floats(-4000, 4000),
    problem=st.sampled_from(["", "HTTP 503"]),
)  # fmt: skip
attempts = st.lists(
    st.tuples(st.sampled_from(["wool", "clay"]), st.floats(SENT - 500, SENT + 500)), min_size=1, max_size=5
).map(lambda found: [given.attempt(number, body={"prompt": p}, sent_at=at) for number, (p, at) in enumerate(found, 1)])
nows = st.floats(SENT - 1000, LATER)


@for_all(attempts, walks, nows)
def test_every_attempt_has_one_verdict_and_no_row_serves_two(tried: list[Attempt], of: Walk, now: float) -> None:
    verdicts = resolve(*tried, of=of, now=now)
    served = [found.row.request_id for found in verdicts if isinstance(found, Found)]

    assert [found.attempt for found in verdicts] == tried
    assert len(set(served)) == len(served)
    assert "known" not in served


@for_all(attempts, walks, nows)
def test_a_found_row_has_the_attempts_inputs(tried: list[Attempt], of: Walk, now: float) -> None:
    for found in resolve(*tried, of=of, now=now):
        if isinstance(found, Found):
            assert reconcile.same_inputs(found.attempt.body, found.row.inputs)
            assert found.row.at is None or found.row.at >= reconcile.window_start(found.attempt, of.skew_s)


@for_all(attempts, walks, nows)
def test_absence_counts_only_under_every_condition(tried: list[Attempt], of: Walk, now: float) -> None:
    verdicts = resolve(*tried, of=of, now=now)
    served = {found.row.request_id for found in verdicts if isinstance(found, Found)}
    for found in verdicts:
        if isinstance(found, NeverAccepted):
            start = reconcile.window_start(found.attempt, of.skew_s)
            unreadable = [r for r in of.rows if r.inputs is None and r.request_id != "known"]
            assert of.complete
            assert not of.problem
            assert now >= found.attempt.sent_at + GRACE
            assert any(r.request_id == "known" and r.inputs == {"prompt": "known"} for r in of.rows)
            assert all(r.at is not None and r.at < start for r in unreadable if r.request_id not in _readable(of))
            equal = {r.request_id for r in of.rows if reconcile.same_inputs(found.attempt.body, r.inputs)}
            assert equal <= served | {"known"}


def _readable(of: Walk) -> set[str]:
    """Requests that are listed twice, once with inputs."""
    return {r.request_id for r in of.rows if r.inputs is not None}


@for_all(attempts, walks, nows)
def test_an_equal_row_that_nobody_else_took_is_never_overlooked(tried: list[Attempt], of: Walk, now: float) -> None:
    verdicts = resolve(*tried, of=of, now=now)
    served = {found.row.request_id for found in verdicts if isinstance(found, Found)}
    readable = [r for r in of.rows if r.inputs is not None and r.request_id != "known"]
    listed = {r.request_id: r for r in reversed(readable)}

    for found in verdicts:
        start = reconcile.window_start(found.attempt, of.skew_s)
        mine = [
            r.request_id
            for r in listed.values()
            if reconcile.same_inputs(found.attempt.body, r.inputs) and (r.at is None or r.at >= start)
        ]
        assert isinstance(found, Found) or not set(mine) - served
