"""How many are let in, by how late the loop runs; and who goes when there are too many."""

from __future__ import annotations

from dataclasses import dataclass, field

from gateway.config.schema import Server
from gateway.front.guard import FLOOR, LOOK_TICKS, TICK_S, WINDOW_TICKS, Guard, Phase


@dataclass(eq=False)
class Held:
    """A connection that stays as it is."""

    number: int
    phase: Phase
    ticks: int = 0
    expired: list[Phase] = field(default_factory=list)

    def look(self) -> Phase:
        return self.phase

    def expire(self, phase: Phase) -> None:
        self.expired.append(phase)


def guard(**more: float) -> Guard:
    return Guard(Server.model_validate({"header_s": 2, "connections": 16, **more}), lambda: 0.0)


def test_a_burst_is_no_overload_but_a_second_of_delay_is() -> None:
    one = guard(in_flight=1000, lag_ms=50)
    for n in range(5 * WINDOW_TICKS):
        one.felt(0.2 if n % WINDOW_TICKS else 0.0, going=900)
    assert one.allowed == 1000
    for _ in range(WINDOW_TICKS):
        one.felt(0.2, going=900)
    assert one.allowed == 720


def test_the_limit_shrinks_to_a_floor_and_grows_back() -> None:
    one = guard(in_flight=1000, lag_ms=50)
    for _ in range(50 * WINDOW_TICKS):
        one.felt(0.2, going=1000)
    assert one.allowed == FLOOR
    for _ in range(100):
        one.felt(0.0, going=10)
    assert one.allowed == 1000


def test_a_small_limit_is_never_raised() -> None:
    one = guard(in_flight=2, lag_ms=50)
    for _ in range(2 * WINDOW_TICKS):
        one.felt(0.2, going=2)
    assert one.allowed == 2


def test_each_phase_has_its_patience_and_answers_have_none() -> None:
    one = guard(body_s=1, write_s=3, keep_alive_s=4)
    phases: tuple[Phase, ...] = ("head", "rest", "body", "answer", "stalled")
    held = [Held(n, phase) for n, phase in enumerate(phases)]
    gone: dict[Phase, float] = {}
    for look in range(1, 20):
        one.sweep(held)
        for each in [each for each in held if each.expired]:
            gone[each.phase] = look * LOOK_TICKS * TICK_S
            held.remove(each)
    assert gone == {"body": 1.5, "head": 2.5, "stalled": 3.5, "rest": 4.5}
    assert one.expired == 3  # a connection at rest is nobody's loss


def test_who_leaves_lingers_a_moment_on_what_is_unused() -> None:
    one = guard(header_s=60, keep_alive_s=60)
    one.leaving = True
    held = [Held(0, "head"), Held(1, "rest"), Held(2, "body"), Held(3, "answer")]
    for _ in range(5):
        one.sweep(held)
    assert [bool(each.expired) for each in held] == [True, True, False, False]


def test_the_oldest_that_never_asked_go_first_and_answers_never() -> None:
    one = guard()
    held = [Held(n, "answer") for n in range(4)] + [Held(n, "rest") for n in range(4, 10)]
    one.met(held)
    held += [Held(n, "head") for n in range(10, 17)]
    one.met(held)
    assert [each.number for each in held if each.expired] == [10, 11]
    one.met([each for each in held if each.phase != "head"] + [Held(n, "answer") for n in range(20, 28)])
    assert [each.number for each in held if each.expired] == [4, 5, 10, 11]
