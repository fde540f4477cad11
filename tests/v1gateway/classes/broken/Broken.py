"""Reports what is no metric, says its own status, or fails."""


class Teapot(Exception):
    status_code = 400


class Broken:
    def __init__(self):
        self.reported = []

    def predict(self, X, names):
        self.reported = X.get("report", []) if isinstance(X, dict) else []
        if isinstance(X, str):
            raise Teapot(X)
        return {"fine": True} if isinstance(X, dict) else object()

    def metrics(self):
        return self.reported
