"""The grounding model: does this sentence follow from these? A cross-encoder on the scorer's own encoder.

swaps     minimal edits that make a supported sentence unsupported, and edits that leave it supported
sets      labelled sets and the pairs made of them, split by document
batches   pairs as word pieces, in batches of like lengths
model     the encoder with its upper layers open, and a logit a word piece of the claim
train     the run: seeded, resumable, on a CPU or a GPU
evaluate  what it is worth beside the frozen features, on sets it never saw
"""
