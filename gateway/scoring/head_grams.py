"""A text cut into parts that a head judges one by one, and a part's character n-grams, hashed. No model."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator

import torch
from torch import Tensor

from gateway.wire.sentences import sentences

PART = 1_000  # characters, whole sentences where that is possible: what MiniLM reads at once
BUCKETS = 1 << 15
SIZES = (2, 3, 4, 5)  # bytes of an n-gram
_PRIME = 1_000_003


def parts(text: str) -> list[str]:
    """What covers `text`, in order, at most `PART` characters each; one part, maybe empty, where it is short."""
    if len(text) <= PART:
        return [text]
    found, start, end = list[str](), 0, 0
    for first, last in _runs(text):
        if last - start > PART:
            found.append(text[start:end])
            start = first
        end = last
    return [part for part in (*found, text[start:end]) if part.strip()] or [text[:PART]]


def _runs(text: str) -> Iterator[tuple[int, int]]:
    """Sentences; those longer than a part cut at white space, or anywhere."""
    for first, end in sentences(text):
        at = first
        while end - at > PART:
            cut = text.rfind(" ", at + PART // 2, at + PART) + 1 or at + PART
            yield at, cut
            at = cut
        yield at, end


def grams(part: str) -> Tensor:
    """[n] int64 in `0:BUCKETS`, ascending, each once: the n-grams of UTF-8 bytes, whatever case, width and spacing."""
    plain = f" {' '.join(unicodedata.normalize('NFKC', part).casefold().split())} "
    data = torch.frombuffer(bytearray(plain.encode("utf-8", "replace")), dtype=torch.uint8).long()
    found = [_hashed(data.unfold(0, size, 1)) for size in SIZES if len(data) >= size]
    return torch.unique(torch.cat(found)) if found else data[:0]


def _hashed(windows: Tensor) -> Tensor:
    """[n, size] bytes -> [n] buckets, by a polynomial and a finisher; int64 wraps, as it should."""
    value = torch.full((len(windows),), windows.shape[1], dtype=torch.int64)
    for column in windows.unbind(1):
        value = (value * _PRIME) ^ column
    value = (value ^ (value >> 29)) * -0x40A7B892E31B1A47  # Stafford's mix 13, as a signed number
    return (value ^ (value >> 32)) & (BUCKETS - 1)
