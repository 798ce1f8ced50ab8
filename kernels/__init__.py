"""Similarity kernels: one op a file, each with its torch reference, its pure math, its Triton kernel and its launcher.

    maxsim      per token, the best match among its own pair's context tokens

`dispatch` picks Triton on a GPU and the reference on a CPU; `testing` holds the error rule. Importing this package
imports nothing else: torch and triton come with the op's own module.
"""
