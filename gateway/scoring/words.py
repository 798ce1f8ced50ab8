"""Which words carry content. English function words do not: they match everywhere and support nothing."""

from __future__ import annotations

FUNCTION_WORDS = frozenset(
    """
    a about above after again against all also although always am among an and another any anybody anyone anything are
    aren as at be because been before being below between both but by can cannot could couldn d did didn do does doesn
    doing don done down during each either else ever every everyone everything few for from further get gets got had
    hadn has hasn have haven having he her here hers herself him himself his how however i if in indeed instead into is
    isn it its itself just ll let like m made make many may maybe me might mine more moreover most much must my myself
    neither never no nobody nor not nothing now of off often on once one only onto or other others ought our ours
    ourselves out over own perhaps quite rather re s same shall she should shouldn since so some somebody someone
    something sometimes such t than that the their theirs them themselves then there therefore these they thing things
    this those though through thus to together too toward towards under unless until up upon us ve very was wasn we well
    were weren what whatever when whenever where whether which while who whoever whom whose why will with within without
    won would wouldn yes yet you your yours yourself yourselves according answer based context given mentioned passage
    provided question text
    """.split()  # noqa: SIM905 - a list literal of 230 words is 230 pairs of quotes
)


def content(word: str) -> bool:
    """Whether `word` says something that a context can support: a name, a number, a thing, a deed."""
    return word.lower() not in FUNCTION_WORDS and any(character.isalnum() for character in word)
