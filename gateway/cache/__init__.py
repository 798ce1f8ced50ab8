"""Answers that are given again: exactly the same request, on the same route, before the same policy.

entry       an answer as it was delivered, and what makes two requests the same
memory      answers in this process, within bounds of bytes and time
shared      answers in a Redis or Valkey that gateways share
"""
