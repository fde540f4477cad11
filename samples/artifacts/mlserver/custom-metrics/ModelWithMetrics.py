"""A class as the version 1 wrapper takes it: it answers with what it is asked, and reports a metric of each type."""


class ModelWithMetrics:
    def predict(self, X, features_names):
        return X

    def metrics(self):
        return [
            {"key": "mycounter", "type": "COUNTER", "value": 1},
            {"key": "mygauge", "type": "GAUGE", "value": 100},
            {"key": "mytimer", "type": "TIMER", "value": 20.2},
        ]
