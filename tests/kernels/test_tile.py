import pytest

from kernels.tile import halves, packed, spans


@pytest.mark.parametrize(
    ("d", "parts"), [(64, (64, 0)), (128, (128, 0)), (192, (128, 64)), (384, (256, 128)), (768, (512, 256))]
)
def test_a_width_is_cut_into_powers_of_two_without_padding(d: int, parts: tuple[int, int]) -> None:
    assert halves(d) == parts


@pytest.mark.parametrize("d", [0, 32, 100, 448, 312])
def test_a_width_that_would_need_padding_is_refused(d: int) -> None:
    with pytest.raises(ValueError, match=str(d)):
        halves(d)


def test_ends_and_spans_are_two_views_of_lengths() -> None:
    assert packed([3, 0, 2]).tolist() == [0, 3, 3, 5]
    assert spans(packed([3, 0, 2])) == [(0, 3), (3, 3), (3, 5)]
