"""Feedback on answers, and the texts of some exchanges, kept for whoever makes a model better with them.

handover    what an HTTP process does: a bounded queue, and calls of the worker
engine      the worker: takes exchanges, holds them, scrubs, stores; follows the event log for scores and drift
holding     texts that wait for a reason
store       the SQLite file; proof, that what was deleted is not in it
examples    rows as training examples, in seven formats
near        the same text twice, or almost
dataset     which example goes where
card        what goes with a data set
"""
