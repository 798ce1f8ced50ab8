"""Heavy judges, each run in a worker process of its own; never imported by the HTTP process."""
