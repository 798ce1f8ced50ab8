"""Scores of an answer: what it has to do with its question, and how much of it its context supports.

    weights     an encoder's folder, its digest checked, its tensors read
    tokens      texts cut into windows of word pieces that know where they stand
    encoder     the BERT forward pass over packed windows, in plain torch
    features    token similarities to per-sentence and per-answer scores
    premises    the sentences of a context that a claim is held against
    grounding   a trained model's word on a claim and its context; in no scorer yet
    scorer      one batch of items through all of the above
    engine      the worker's face: concurrent calls share a batch

Everything here but this page imports torch and runs in the scorer worker only.
"""
