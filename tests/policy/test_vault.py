from __future__ import annotations

from itertools import pairwise

from hypothesis import example, given
from hypothesis import strategies as st

from gateway.policy.vault import Vault

ENTITIES = ("EMAIL_ADDRESS", "US_SSN", "A")
SCRAPS = (
    "<",
    ">",
    "_",
    "1",
    "2",
    "<A_1>",
    "<A_2>",
    "<EMAIL_ADDRESS_1>",
    "<US_SSN_",
    "A",
    "é",
    "\ud800",
    " ",
    "\n",
    "x@y.z",
)
texts = st.lists(st.sampled_from(SCRAPS), max_size=12).map("".join)
values = st.sampled_from(("x@y.z", "1", "<A_1>", "A", "é\n", "078-05-1120"))
pieces = st.lists(st.one_of(texts, st.tuples(st.sampled_from(ENTITIES), values)), max_size=8)


def redacted(vault: Vault, parts: list[str | tuple[str, str]]) -> tuple[str, str]:
    """The client's text, and what becomes of it when the tuples in it are found to be personal data."""
    original = "".join(p if isinstance(p, str) else p[1] for p in parts)
    vault.reserve(original)
    return original, "".join(p if isinstance(p, str) else vault.placeholder(*p) for p in parts)


def streamed(vault: Vault, text: str, cuts: list[int]) -> str:
    """`text` restored as a stream would be: whatever is not held goes out at once."""
    out, waiting = "", ""
    for start, end in pairwise(sorted({0, len(text), *(c % (len(text) + 1) for c in cuts)})):
        waiting += text[start:end]
        free = vault.held(waiting)
        out += vault.restored(waiting[:free])
        waiting = waiting[free:]
    return out + vault.restored(waiting)


@given(pieces)
@example(["<A_1> is what I typed, ", ("A", "x@y.z"), " is what I meant"])
def test_restoring_is_the_exact_inverse_of_redacting(parts: list[str | tuple[str, str]]) -> None:
    vault = Vault()
    original, masked = redacted(vault, parts)
    assert vault.restored(masked) == original


@given(pieces, st.lists(st.integers(min_value=0), max_size=20))
@example([("A", "x@y.z"), "<", ("A", "1")], list(range(20)))
def test_restoring_does_not_depend_on_how_the_stream_is_cut(
    parts: list[str | tuple[str, str]], cuts: list[int]
) -> None:
    vault = Vault()
    _, masked = redacted(vault, parts)
    assert streamed(vault, masked, cuts) == vault.restored(masked)


@given(pieces, st.integers(min_value=0, max_value=100))
def test_text_is_held_only_while_a_placeholder_may_be_going_on(parts: list[str | tuple[str, str]], cut: int) -> None:
    vault = Vault()
    _, masked = redacted(vault, parts)
    given_out = {vault.placeholder(*p) for p in parts if not isinstance(p, str)}
    text = masked[:cut]
    tail = text[vault.held(text) :]
    assert tail == "" or any(p.startswith(tail) and p != tail for p in given_out)


def test_the_same_value_gets_the_same_placeholder_and_another_value_another() -> None:
    vault = Vault()
    first = vault.placeholder("EMAIL_ADDRESS", "a@b.co")
    assert first == "<EMAIL_ADDRESS_1>"
    assert vault.placeholder("EMAIL_ADDRESS", "a@b.co") == first
    assert vault.placeholder("EMAIL_ADDRESS", "c@d.co") == "<EMAIL_ADDRESS_2>"
    assert vault.placeholder("URL", "a@b.co") == "<URL_1>"


def test_what_the_client_typed_is_never_given_out_and_never_replaced() -> None:
    vault = Vault()
    vault.reserve("keep <EMAIL_ADDRESS_1> and <EMAIL_ADDRESS_3>")
    assert [vault.placeholder("EMAIL_ADDRESS", v) for v in "ab"] == ["<EMAIL_ADDRESS_2>", "<EMAIL_ADDRESS_4>"]
    assert (
        vault.restored("<EMAIL_ADDRESS_1><EMAIL_ADDRESS_2><EMAIL_ADDRESS_3>") == "<EMAIL_ADDRESS_1>a<EMAIL_ADDRESS_3>"
    )


def test_an_empty_vault_touches_and_holds_nothing() -> None:
    assert Vault().restored("<EMAIL_ADDRESS_1>") == "<EMAIL_ADDRESS_1>"
    assert Vault().held("and <EMAIL_ADDR") == len("and <EMAIL_ADDR")


def test_a_less_than_sign_that_opens_no_placeholder_is_not_held() -> None:
    vault = Vault()
    vault.placeholder("URL", "http://a.co")
    for text in ("if a <", "if a < b", "<URL_1> is", "<EMAIL"):
        assert vault.held(text) == (5 if text == "if a <" else len(text))
    assert vault.held("see <URL_") == 4
