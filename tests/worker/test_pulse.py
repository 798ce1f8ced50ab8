from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.worker.pulse import BEGUN, GRACE_S, OPEN_S, SILENT_S, STUBBORN_S, Pulse, Reading

seconds = st.floats(0, 1e6)


@given(seconds, seconds)
def test_a_server_whose_loop_beats_and_whose_calls_are_not_due_is_well(now: float, left: float) -> None:
    assert Reading(now, now + left + 1, ready=True, running=1).ailment(now) == ""


@given(seconds, st.floats(0, 0.9))
def test_a_call_may_hold_the_loop_until_it_is_due(now: float, part: float) -> None:
    silence = 100.0
    assert Reading(now - silence * part, now + 1e-3, ready=True, running=1).ailment(now) == ""


def test_a_loop_that_stands_still_past_a_due_call_is_stuck() -> None:
    held = Reading(100.0, 100.5, ready=True, running=1)
    assert held.ailment(100.5 + GRACE_S / 2) == ""
    assert held.ailment(100.5 + 2 * GRACE_S) == "stuck"


def test_a_busy_loop_gets_time_to_cancel_what_is_due() -> None:
    late = 100.5 + 2 * GRACE_S
    assert Reading(late - GRACE_S / 2, 100.5, ready=True, running=1).ailment(late) == ""


def test_a_call_that_will_not_be_cancelled_is_stubborn() -> None:
    late = 100.5 + STUBBORN_S + 0.1
    assert Reading(late, 100.5, ready=True, running=1).ailment(late) == "stubborn"


def test_an_idle_loop_may_not_be_silent() -> None:
    idle = Reading(100.0, 0.0, ready=True, running=0)
    assert idle.ailment(100 + 0.9 * SILENT_S) == ""
    assert idle.ailment(100 + 1.1 * SILENT_S) == "silent"


def test_an_engine_may_take_its_time_to_open_but_not_for_ever() -> None:
    opening = Reading(100.0, 0.0, ready=False, running=0)
    assert opening.ailment(100 + 10 * SILENT_S) == ""
    assert opening.ailment(100 + OPEN_S + 1) == "unopened"


def test_what_is_written_is_read() -> None:
    pulse = Pulse()
    pulse.renew(5.0)
    assert pulse.read() == Reading(5.0, 0.0, ready=False, running=0)
    pulse.opened(6.0)
    pulse.load(7.0, 8.0, 3)
    assert pulse.read() == Reading(7.0, 8.0, ready=True, running=3)
    pulse.beat(9.0)
    assert pulse.read().beat == 9.0


@given(st.text())
def test_a_note_is_kept_as_far_as_there_is_room(text: str) -> None:
    pulse = Pulse()
    pulse.note = text
    assert text.split("\0", maxsplit=1)[0][:500].encode("utf-8", "replace").decode().startswith(pulse.note[:500])


@given(st.lists(st.integers(1, 2**53), unique=True, min_size=1, max_size=3))
def test_the_next_server_knows_what_was_begun(ids: list[int]) -> None:
    pulse = Pulse()
    for id_ in ids:
        pulse.begin(id_)
    pulse.renew(1.0)
    assert all(map(pulse.has_begun, ids))
    assert not pulse.has_begun(max(ids) + 1)


def test_what_is_running_is_remembered_and_what_ended_long_ago_is_not() -> None:
    pulse = Pulse()
    pulse.begin(1)
    for id_ in range(2, BEGUN + 3):
        pulse.begin(id_)
        pulse.end(id_)
    assert pulse.has_begun(1)
    assert not pulse.has_begun(2)
    assert pulse.has_begun(BEGUN + 2)
    pulse.end(1)
    for id_ in range(BEGUN + 3, 2 * BEGUN + 3):
        pulse.begin(id_)
        pulse.end(id_)
    assert not pulse.has_begun(1)
