r"""Ready-made rules for the pattern rail, in packs that a policy names under `builtin`.

Rules open with a fixed word wherever the thing they look for has one: a stream is held only once that word is there.
They prefer missing a rare form to stopping ordinary prose and code. `(?i:…)` folds case where the thing does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rule:
    """`source` in RE2's notation; `placeholder` stands for what it matched where a policy redacts."""

    name: str
    source: str
    placeholder: str = "[REDACTED]"


def _rules(placeholder: str, **sources: str) -> tuple[Rule, ...]:
    return tuple(Rule(name, source, placeholder) for name, source in sources.items())


_API_KEYS = _rules(
    "[API_KEY]",
    openai=r"\bsk-(?:(?:proj|svcacct|admin)-[A-Za-z0-9_-]{20,}|[A-Za-z0-9]{32,})",
    openrouter=r"\bsk-or-v1-[0-9a-f]{32,}",
    anthropic=r"\bsk-ant-[A-Za-z0-9_-]{24,}",
    groq=r"\bgsk_[A-Za-z0-9]{40,}",
    xai=r"\bxai-[A-Za-z0-9]{40,}",
    huggingface=r"\bhf_[A-Za-z0-9]{34,}",
    google=r"\bAIza[A-Za-z0-9_-]{35}",
    github=r"\b(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{60,})",
    gitlab=r"\bglpat-[A-Za-z0-9_-]{20,}",
    slack=r"\bxox[abeoprs]-[A-Za-z0-9-]{20,}",
    slack_webhook=r"\bhttps://hooks\.slack\.com/(?:services|workflows)/[A-Za-z0-9/_-]{20,}",
    stripe=r"\b(?:[rs]k_(?:live|test)_[A-Za-z0-9]{16,}|whsec_[A-Za-z0-9+/]{32,}=*)",
    sendgrid=r"\bSG\.[A-Za-z0-9_-]{16,32}\.[A-Za-z0-9_-]{32,64}",
    npm=r"\bnpm_[A-Za-z0-9]{36}",
    pypi=r"\bpypi-AgEIcHlwaS5vcmc[A-Za-z0-9_-]{50,}",
    # A digit near the beginning tells a token from words such as `bearer authentication`.
    bearer=r"(?i:\bbearer)[ \t]+[A-Za-z._~+/-]{0,20}[0-9][A-Za-z0-9._~+/-]{16,}=*",
)

# Between the lines of a key there may be true line ends, or `\n` as JSON and `.env` files write them.
_BREAK = r"(?:\s|\\+[nr])"
_LINE = r"[A-Za-z0-9+/]{32,}={0,2}"
_KEY = r"[A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?"
_PRIVATE_KEYS = _rules(
    "[PRIVATE_KEY]",
    pem=(
        rf"-----BEGIN {_KEY}-----{_BREAK}*"
        rf"(?:[A-Za-z-]{{3,20}}: ?[^\n\\]{{0,80}}{_BREAK}+)*"  # `Proc-Type:`, `Version:`
        rf"{_LINE}(?:{_BREAK}*{_LINE})*"
        rf"(?:{_BREAK}*=?[A-Za-z0-9+/]*={{0,2}}{_BREAK}*=?[A-Za-z0-9+/]*={{0,2}}{_BREAK}*-----END {_KEY}-----)?"
    ),
    putty=(
        r"\bPuTTY-User-Key-File-[0-9]: [^\n]*(?:\n[^\n]+)*\nPrivate-Lines: [0-9]+(?:\r?\n[A-Za-z0-9+/]{16,}={0,2})+"
        r"(?:\r?\n[A-Za-z0-9+/]+={0,2}\r?\nPrivate-MAC: [0-9a-f]+)?"
    ),
)

_CLOUD_TOKENS = _rules(
    "[CLOUD_TOKEN]",
    aws_key_id=r"\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}\b",
    aws_secret=(  # noqa: S106 - the name of a rule, not a password
        r"(?i:\b(?:aws_?)?(?:secret_?access_?key|session_?token|secret_?key))"
        r"[\"']?[ \t]*(?:=>|:=|[:=])[ \t]*[\"']?[A-Za-z0-9/+]{40,}={0,2}"
    ),
    gcp_oauth=r"\bya29\.[A-Za-z0-9_-]{20,}",
    gcp_client=r"\bGOCSPX-[A-Za-z0-9_-]{24,}",
    azure_connection=r"(?i:\b(?:Account|SharedAccess)Key=)[A-Za-z0-9+/]{40,88}={0,2}",
    azure_sas=r"\bsig=[A-Za-z0-9%/+]{43,}={0,2}",
    digitalocean=r"\bdo[opr]_v1_[a-f0-9]{64}",
)

_JWT = _rules("[JWT]", jwt=r"\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}")

# The last character is none of those that end a sentence behind an address.
_URLS = _rules(
    "[URL]",
    url=r"(?i:\b(?:https?|wss?|ftp)://|\bwww\.)[^\s<>\"'\x60{}|\\^]*[^\s<>\"'\x60{}|\\^.,;:!?()\[\]*_]",
)

# Alternative text may hold one pair of brackets and line ends, but no blank line.
_ALT = r"(?:[^\[\]\n]|\n[^\[\]\n]|\[[^\[\]\n]*\])*"
_MARKDOWN_IMAGES = _rules(
    "[IMAGE]",
    inline=rf"!\[{_ALT}\]\(\s*<?(?i:https?:)?//[^)\n]*\)",
    reference=rf"!\[{_ALT}\]\[[^\[\]\n]*\]",
    html=r"(?i:<img\s[^>]*\bsrc\s*=\s*[\"']?(?:https?:)?//)[^>]*>",
)

_GAP = r"(?:\s|/\*[^*]*\*/)"
_SQL_INJECTION = _rules(
    "[SQL]",
    union=rf"(?i:\bunion{_GAP}+(?:(?:all|distinct){_GAP}+)?select\b)",
    tautology=(
        rf"['\"]{_GAP}*\)*{_GAP}*(?i:\bor\b|\|\|){_GAP}*['\"(]*\w+['\"]?{_GAP}*(?:=|(?i:\blike\b)){_GAP}*['\"]?\w+"
    ),
    stacked=(
        rf";{_GAP}*(?i:(?:drop|truncate|alter){_GAP}+(?:table|database|schema)|delete{_GAP}+from"
        rf"|insert{_GAP}+into|update{_GAP}+\w+{_GAP}+set)\b"
    ),
    commented=rf"'{_GAP}*\)*;{_GAP}*--",
    timed=rf"(?i:\b(?:pg_sleep|benchmark){_GAP}*\(|\bwaitfor{_GAP}+delay\b|\b(?:and|or){_GAP}+sleep{_GAP}*\()",
    schema=r"(?i:\binformation_schema\.\w+|\bxp_cmdshell\b|\bload_file\s*\(|\binto\s+(?:out|dump)file\b)",
)

_SHELLS = r"(?:ba|z|da|k|c)?sh"
_PROGRAMS = rf"(?:cat|curl|wget|id|whoami|uname|nc|ncat|{_SHELLS}|python3?|perl|ruby|rm|env|printenv|base64)"
_SHELL_INJECTION = _rules(
    "[SHELL]",
    piped=rf"\b(?:curl|wget)\b[^\n|;]*\|\s*(?:sudo\s+)?(?:{_SHELLS}|python3?|perl)\b",
    substituted=rf"(?:\$\(|\x60)\s*{_PROGRAMS}\b[^)\x60\n]*[)\x60]",
    removed=r"\brm\s+(?:-[A-Za-z-]+\s+)*-(?:[A-Za-z]*[rR][A-Za-z]*|-recursive)\s+(?:-[A-Za-z-]+\s+)*(?:/|~|\*|\$HOME)",
    reverse=rf"/dev/(?:tcp|udp)/[\w.-]+/[0-9]+|\bnc(?:at)?\s+(?:-\w+\s+)*-\w*e\w*\s+[^\s)]+|\b{_SHELLS}\s+-i\s*>&",
    chained=rf"(?:;|&&|\|\|?)\s*(?:cat|head|tail|less|more|{_SHELLS})\s+(?:-\S+\s+(?:\d+\s+)?)*/(?:etc|root|proc)/[\w./-]+",
    forked=r":\(\)\s*\{\s*:\s*\|\s*:\s*&\s*\}\s*;\s*:",
    spaced=r"\$\{IFS\}|\$IFS\b",
)

PACKS: Mapping[str, tuple[Rule, ...]] = {
    "api_keys": _API_KEYS,
    "cloud_tokens": _CLOUD_TOKENS,
    "jwt": _JWT,
    "markdown_images": _MARKDOWN_IMAGES,
    "private_keys": _PRIVATE_KEYS,
    "shell_injection": _SHELL_INJECTION,
    "sql_injection": _SQL_INJECTION,
    "urls": _URLS,
}
