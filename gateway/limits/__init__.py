"""What a key may still use: requests and tokens per minute, requests at once, US dollars per day and month.

rule        what a key may use, what an exchange needs of it, what is left, and why not
account     the arithmetic of one key, on a row of integers: reserve before, settle after
table       accounts in memory that all HTTP processes of a gateway share
shared      accounts in a Redis or Valkey that gateways share; `account.lua` is the same arithmetic there
estimate    tokens that a request may come to, before anybody counted them
gate        what the pipeline asks: may this exchange begin, and what did it come to
"""
