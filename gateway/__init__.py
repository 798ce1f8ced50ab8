"""Tidegate: an OpenAI-compatible gateway that judges, scores, prices and records every exchange with a model.

Rooms, from the top floor down (imports only go downwards; ARCHITECTURE.md has the picture):

    cli, serve          start things
    app                 composition root: the only place where rooms meet
    http                ASGI face: endpoints, auth, limits, error envelope
    pipeline, stream    the request's path
    routing, upstream   who answers
    policy, scoring, monitor     judging, measuring, watching
    worker              the harness for child processes
    exchange, config    the record of one request; frozen configuration
    wire, observe       codecs without I/O; log, metrics, cost
    errors              the exception tree
"""

__version__ = "0.1.0"
