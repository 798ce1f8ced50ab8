"""Answers that are given again: exactly the same request, on the same route, before the same policy.

digest      what makes two requests the same
entry       an answer as it was delivered, and whether it may be kept
memory      answers in this process, within bounds of bytes and time
shared      answers in a Redis or Valkey
"""
