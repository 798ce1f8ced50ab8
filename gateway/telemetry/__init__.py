"""What the event log says, told to others: spans, metrics, logs and scores, over OTLP and by vendors' own calls.

All of it happens in a worker of its own that reads the log; whoever serves requests knows nothing of it.

- A *destination* is somewhere to send to: where, with which headers, which signals (`destination`, `vendors`).
- `spans`, `results`, `instruments` make plain values of events; `otlp` makes protobuf of those.
- A *follower* takes one destination from where it stands in the log to the log's end, again and again.
"""
