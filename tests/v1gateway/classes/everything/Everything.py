"""A class of the version 1 wrapper with all that such a class may have."""

import numpy as np
from neighbour import scaled


class Everything:
    def __init__(self, factor=1, note=""):
        self.factor = factor
        self.note = note
        self.loaded = False
        self.rows = 0
        self.rewards = []

    def load(self):
        self.loaded = True

    def predict(self, X, names, meta=None):
        # Of this call only: the next may be answered by another worker.
        self.rows = len(X) if isinstance(X, np.ndarray) else 0
        if isinstance(X, str):
            return X.upper()
        if isinstance(X, bytes):
            return X[::-1]
        if isinstance(X, dict):
            return {"asked": X, "loaded": self.loaded, "factor": self.factor, "note": self.note}
        if np.asarray(X).dtype.kind in "US":
            return [[f"{each}!" for each in row] for row in X.tolist()]
        if list(names) == ["column"]:
            return np.asarray(X).sum(axis=-1)
        return scaled(np.asarray(X), self.factor)

    def class_names(self):
        return ["first", "second"]

    def tags(self):
        return {"rows": self.rows, "note": self.note}

    def metrics(self):
        return [
            {"type": "COUNTER", "key": "everything_rows", "value": self.rows, "tags": {"who": "it"}},
            {"type": "TIMER", "key": "everything_time", "value": 12.5},
        ]

    def send_feedback(self, features, feature_names, reward, truth, routing=None):
        self.rewards.append(reward)
        return [[float(np.sum(features)), reward, float(np.sum(truth))]]
