"""Chat deltas as blocks, one open at a time."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.saying import answers, cuts

from gateway.wire.blocks import Blocks, Closed, Grown, Opened, Step


def walked(deltas: list[dict[str, Any]]) -> list[Step]:
    blocks = Blocks()
    return [step for delta in deltas for step in blocks.feed(delta)] + blocks.finish()


def told(steps: list[Step]) -> list[tuple[str, str, str, str]]:
    """What was said; fails unless one block is open at a time, in order, and what closes is all that grew."""
    said: list[tuple[str, str, str, str]] = []
    grown: list[str] | None = None
    for step in steps:
        match step:
            case Opened(block):
                assert grown is None
                assert block.index == len(said)
                grown = []
            case Grown(_, piece):
                assert grown is not None
                assert piece
                grown.append(piece)
            case Closed(block):
                assert grown is not None
                assert block.text.startswith("".join(grown))
                said.append((block.kind, block.id, block.name, "".join(grown)))
                grown = None
    assert grown is None
    return said


def call(index: int | None, arguments: str = "", ident: str | None = None, name: str | None = None) -> dict[str, Any]:
    function = {"arguments": arguments} | ({"name": name} if name else {})
    stated = {} if index is None else {"index": index}
    return {"tool_calls": [stated | ({"id": ident} if ident else {}) | {"function": function}]}


@given(answers(), st.data())
def test_whatever_way_an_answer_is_cut_the_same_blocks_come_of_it(answer: dict[str, Any], data: st.DataObject) -> None:
    chunks = data.draw(cuts(answer))
    deltas = [choice["delta"] for chunk in chunks for choice in chunk["choices"]]
    assert told(walked(deltas)) == told(walked([answer["choices"][0]["message"]]))


any_delta = st.one_of(
    st.builds(lambda t: {"content": t}, st.text(max_size=4)),
    st.builds(lambda t: {"reasoning": t}, st.text(max_size=4)),
    st.builds(lambda t: {"refusal": t}, st.text(max_size=4)),
    st.builds(lambda i, a: call(i, a, f"id{i}", "f"), st.integers(0, 2), st.sampled_from(["", "{", '"a": 1', "}"])),
)


@given(st.lists(any_delta, max_size=20))
def test_texts_in_any_order_at_all_come_out_once_and_one_after_another(deltas: list[dict[str, Any]]) -> None:
    said = told(walked(deltas))
    for key, kind in (("content", "text"), ("reasoning", "reasoning"), ("refusal", "refusal")):
        asked = "".join(delta.get(key, "") for delta in deltas)
        assert "".join(text for told_kind, _, _, text in said if told_kind == kind) == asked


def test_a_block_grows_as_its_pieces_come() -> None:
    blocks = Blocks()
    steps = [blocks.feed({"content": piece}) for piece in ("a", "b")]
    assert [[type(step) for step in each] for each in steps] == [[Opened, Grown], [Grown]]


def test_a_call_closes_when_its_arguments_are_whole_and_another_begins() -> None:
    blocks = Blocks()
    blocks.feed(call(0, '{"a": 1}', "x", "f"))
    steps = blocks.feed(call(1, "{", "y", "g"))
    assert [type(step) for step in steps] == [Closed, Opened, Grown]


def test_a_call_that_begins_while_another_is_unfinished_waits_for_it() -> None:
    deltas = [call(0, '{"a"', "x", "f"), call(1, '{"b": 2}', "y", "g"), call(0, ": 1}")]
    assert told(walked(deltas)) == [("call", "x", "f", '{"a": 1}'), ("call", "y", "g", '{"b": 2}')]


def test_a_call_waits_for_its_name() -> None:
    blocks = Blocks()
    assert blocks.feed(call(0, "{", "x")) == []
    assert told(blocks.feed(call(0, "}", name="f")) + blocks.finish()) == [("call", "x", "f", "{}")]


def test_calls_that_nobody_numbers_are_told_apart_by_their_ids() -> None:
    said = told(walked([call(None, "{}", "x", "f"), call(None, "{}", "y", "g")]))
    assert [ident for _, ident, _, _ in said] == ["x", "y"]


def test_the_last_block_is_marked() -> None:
    steps = walked([{"content": "a"}, call(0, "{}", "x", "f"), call(1, "{}", "y", "g")])
    assert [step.block.last for step in steps if isinstance(step, Closed)] == [False, False, True]


def test_an_answer_that_is_cut_closes_what_is_open_and_forgets_what_waits() -> None:
    blocks = Blocks()
    blocks.feed(call(0, "{", "x", "f"))
    blocks.feed(call(1, "{}", "y", "g"))
    (closed,) = blocks.cut()
    assert isinstance(closed, Closed)
    assert (closed.block.id, closed.block.last) == ("x", True)
    assert blocks.finish() == []


@pytest.mark.parametrize("delta", [{"content": [{"type": "text", "text": "a"}, {"text": "b"}, 7]}, {"content": "ab"}])
def test_content_in_parts_is_its_text(delta: dict[str, Any]) -> None:
    assert told(walked([delta])) == [("text", "", "", "ab")]


@pytest.mark.parametrize("delta", [{"content": 7}, {"tool_calls": "x"}, {"tool_calls": [7]}, {}, {"content": None}])
def test_what_is_no_text_is_nothing(delta: dict[str, Any]) -> None:
    assert walked([delta]) == []


def test_a_long_answer_in_small_pieces_takes_linear_time() -> None:
    blocks = Blocks()
    began = time.process_time()
    for _ in range(200_000):
        blocks.feed({"content": "abcd"})
    assert time.process_time() - began < 5  # quadratic, it would be minutes
