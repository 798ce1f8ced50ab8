"""What `/ui` shows: the last exchanges, how a day went, what the monitor found. A worker of its own follows the log."""
