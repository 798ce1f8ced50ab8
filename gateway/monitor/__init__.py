"""Watching: whether traffic and quality are what they were, and what to do if not. Numpy only, in a process of its own.

rows          what is watched: prompts, answers, exchanges, scores
window        the last of them, sampled to a bound
twosample     are two sets of vectors from one distribution, and who differs
shift         has a number's or a class's distribution changed
topics        groups among those who differ, with names
check         all of that for one stream
track         a stream as it goes: reference, window, whether it drifts
sequential    tests that may be looked at after every answer
quality       accuracy, golden sets, complaints
signals       when something is to be done
watch         all of it together; `memory` keeps it, `store` writes it
outbox        events that wait to be logged and posted
gauges        what `/metrics` shows
desk          what is asked by hand
engine        the worker
spec          what it is told
"""
