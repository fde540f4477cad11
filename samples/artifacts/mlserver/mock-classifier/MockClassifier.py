"""A class as the version 1 wrapper takes it: the probability is the logistic function of a row's mean."""

import numpy as np

MEAN = 35 / 12


class MockClassifier:
    def predict(self, X, features_names):
        rows = np.asarray(X, dtype=float)
        return 1 / (1 + np.exp(-(rows.mean(axis=1, keepdims=True) - MEAN)))

    def class_names(self):
        return ["proba"]

    def send_feedback(self, features, feature_names, reward, truth, routing=None):
        return []
