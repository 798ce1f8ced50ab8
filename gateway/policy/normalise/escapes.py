r"""Characters spelt in ASCII: percent-encoded UTF-8, `\u`, `\U` and `\x` escapes, numeric HTML references."""

from __future__ import annotations

import re
from functools import lru_cache
from urllib.parse import unquote

_H = "[0-9A-Fa-f]"
_T = "%[89ABab]" + _H  # a trailing byte of UTF-8
# One expression: of those that begin at a character the longest is meant.
ESCAPE = "|".join(
    (
        f"%{_H}{{2}}",
        f"%[CDcd]{_H}{_T}",
        f"%[Ee]{_H}(?:{_T}){{2}}",
        f"%[Ff][0-4](?:{_T}){{3}}",
        rf"\\u{_H}{{4}}",
        rf"\\u[Dd][89ABab]{_H}{{2}}\\u[Dd][C-Fc-f]{_H}{{2}}",
        rf"\\[ux]\{{{_H}{{1,6}}\}}",
        rf"\\U{_H}{{8}}",
        rf"\\x{_H}{{2}}",
        "&#[0-9]{1,7};",
        f"&#[Xx]{_H}{{1,6}};",
    )
)
OPENERS = "%&\\\\"  # what an escape can begin with, for a bracket expression

_PAIR = re.compile(r"\\u(....)\\u(....)", re.DOTALL)


@lru_cache(4096)
def spelt(escape: str) -> str:
    """What one match of `ESCAPE` stands for; U+FFFD where there is no such character."""
    if escape[0] == "%":
        return unquote(escape, errors="replace")
    if (pair := _PAIR.fullmatch(escape)) is not None:
        return chr(0x10000 + ((int(pair[1], 16) & 0x3FF) << 10) + (int(pair[2], 16) & 0x3FF))
    if escape[0] == "&":
        digits = escape[2:-1]
        return _char(int(digits[1:], 16) if digits[0] in "xX" else int(digits))
    return _char(int(escape[2:].strip("{}"), 16))


def _char(code: int) -> str:
    return chr(code) if code <= 0x10FFFF else "\N{REPLACEMENT CHARACTER}"
