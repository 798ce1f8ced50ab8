# ruff: noqa: ANN001, ANN201, E402, PLC0415  # each peer is imported in its own environment, told not to call home
"""One peer's detector over windows in a file: run by `bench/drift.py` in the peer's own environment. Prints JSON."""

import json
import os
import sys
import time
import warnings

os.environ["DO_NOT_TRACK"] = os.environ["ITERATIVE_DO_NOT_TRACK"] = "1"
warnings.filterwarnings("ignore")

import numpy as np


def alibi(reference, window):
    from alibi_detect.cd import MMDDrift

    found = MMDDrift(reference, backend="pytorch", p_val=0.01, n_permutations=100).predict(window)
    return bool(found["data"]["is_drift"])


def evidently(reference, window):
    import pandas as pd
    from evidently.legacy.metrics.data_drift.embedding_drift_methods import model

    found = model()(pd.DataFrame(reference), pd.DataFrame(window))
    return bool(found[1])


def vectors(detect, file):
    found = np.load(file)
    seen, seconds = [], []
    for n in range(int(found["count"])):
        began = time.perf_counter()
        seen.append(detect(found[f"r{n}"].astype(np.float32), found[f"w{n}"].astype(np.float32)))
        seconds.append(time.perf_counter() - began)
    return {"seen": seen, "ms": 1000 * float(np.median(seconds))}


def river(name, file):
    from river import drift

    make = {"adwin": drift.ADWIN, "page-hinkley": drift.PageHinkley}[name]
    found = np.load(file)
    alarms, delays = 0, []
    for stream, change in zip(found["streams"], found["changes"], strict=True):
        detector, at = make(), None
        for n, failed in enumerate(stream):
            detector.update(int(failed))
            if detector.drift_detected:
                if n < change:
                    alarms += 1
                elif at is None:
                    at = int(n - change + 1)
                    break
        delays.append(at)
    return {"alarms": alarms, "before": int(found["changes"].sum()), "delays": delays}


if __name__ == "__main__":
    what, file = sys.argv[1:]
    if what.startswith("river:"):
        print(json.dumps(river(what[6:], file)))
    else:
        print(json.dumps(vectors({"alibi": alibi, "evidently": evidently}[what], file)))
