"""Similarity kernels: one op a file, each with its torch reference, its pure math, its Triton kernel and its launcher.

    maxsim          per token, the best match in its own pair's context; per response, statistics of that
    pool_norm       packed token vectors to unit vectors, one a segment
    similarity      the best rows of a bank for every query
    consistency     how far samples of one prompt agree
    token_stats     a token's uncertainty from its logits
    attention, bias_gelu, residual_norm     what an encoder does between matrix products

`dispatch` picks Triton on a GPU and the references on a CPU; `testing` holds the error rule; `tile` and `keys` are what
ops share. Importing this package imports nothing else: torch and triton come with the op's own module.
"""
