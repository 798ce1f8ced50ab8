"""What a request is thought to come to before anybody counted."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.limits.estimate import BYTES_PER_TOKEN, INLINE_TOKENS, usage


@given(st.integers(0, 40), st.integers(1024, 1060), st.integers(0, 40))
def test_an_image_in_a_request_counts_as_one_wherever_it_stands(before: int, length: int, after: int) -> None:
    raw = b'"' * before + b"A" * length + b'"' * after
    assert usage(raw, {}, "/embeddings", 0).input == INLINE_TOKENS + -(-(before + after) // BYTES_PER_TOKEN)


@pytest.mark.parametrize("text", [b"A" * 1023, b"harbour towns " * 500, b"A" * 600 + b"-" + b"A" * 600])
def test_texts_count_by_their_length(text: bytes) -> None:
    assert usage(text, {}, "/embeddings", 0).input == -(-len(text) // BYTES_PER_TOKEN)
