"""One HTTP process, as `serve` starts them: `python -m gateway.front`.

order       what it is told: a whole configuration, and where the child processes answer
peer        the supervisor as it sees it, and the other way round: both ask, both answer
door        where clients come in: each exchange goes to the configuration that stands when it arrives
process     its life: from the first order to the last answer
"""
