"""The harness for child processes: one program hosts one engine, any number of HTTP processes call it.

Seven nouns:

    frames      length-prefixed messages, both ways; no I/O
    host        the child: a *template* process imports and prepares the engine once, then forks the *server* that
                answers calls on a Unix socket; the template forks a new one when it dies, hangs or overruns a deadline
    server      the forked half: takes calls in, queues and runs them, answers
    pulse       memory that both share: is the server alive, when is its earliest call due, what has it begun
    client      what HTTP processes hold: `call` and `stream`, each with a deadline
    supervisor  starts hosts, watches them, restarts them with capped backoff
    engine      a module that the host is told the name of. It has

        def prepare(spec: Json) -> object
            in the template, once, before any fork: heavy imports, files read; starts no threads, opens no loop

        @asynccontextmanager
        async def open(spec: Json, prepared: object) -> AsyncIterator[Engine]
            in the server, on its event loop

An `Engine` has `async def call(self, method: str, payload: Json) -> Json`; one that streams also has
`def stream(self, method: str, payload: Json) -> AsyncGenerator[Json, None]`.
"""
