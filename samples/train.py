"""What the samples learn from data: it ships with scikit-learn or is made here."""

from pathlib import Path

import joblib
import numpy as np
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

_SEED = 7
_INCOME_FEATURES = 12
_PRAISE = ("wonderful", "moving", "brilliant", "charming", "superb", "funny", "gripping", "lovely")
_BLAME = ("dull", "awful", "boring", "clumsy", "terrible", "weak", "tedious", "hollow")
_PLOTS = ("the plot was {}", "a {} film", "{} acting throughout", "the story felt {}", "what a {} script")


def iris(folder: Path, regularisation: float) -> None:
    """Classifier of the iris flowers; a smaller `regularisation` constant gives a softer model of the same shape."""
    data = load_iris()
    model = LogisticRegression(C=regularisation, max_iter=1000).fit(data.data, data.target)
    joblib.dump(model, folder / "model.joblib")


def income(folder: Path) -> None:
    """Yes-or-no classifier of twelve numbers a person, the shape of the Adult census data; the rows are synthetic."""
    rows, label = _people()
    model = RandomForestClassifier(n_estimators=20, max_depth=6, random_state=_SEED).fit(rows, label)
    joblib.dump(model, folder / "model.joblib")


def income_preprocess(folder: Path) -> None:
    """Standardises the rows that `income` takes."""
    rows, _ = _people()
    joblib.dump(StandardScaler().fit(rows), folder / "model.joblib")


def iris_reference(folder: Path) -> None:
    """The rows that flowers are compared with for drift."""
    np.save(folder / "reference.npy", load_iris().data)


def income_reference(folder: Path) -> None:
    """The rows that people are compared with for drift."""
    np.save(folder / "reference.npy", _people()[0])


def income_preprocessed_reference(folder: Path) -> None:
    """What `income-preprocess` makes of the same rows: outliers are looked for behind it."""
    np.save(folder / "reference.npy", StandardScaler().fit_transform(_people()[0]))


def sentiment(folder: Path) -> None:
    """1 for praise, 0 for blame, learnt from a few dozen made-up sentences."""
    sentences = [plot.format(word) for plot in _PLOTS for word in (*_PRAISE, *_BLAME)]
    labels = [int(word in _PRAISE) for _ in _PLOTS for word in (*_PRAISE, *_BLAME)]
    joblib.dump(make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(sentences, labels), folder / "model.joblib")


def _people(count: int = 1000) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(_SEED)
    rows = random.integers(0, 10, size=(count, _INCOME_FEATURES)).astype(np.float64)
    age, hours = random.integers(17, 90, count), random.integers(1, 99, count)
    rows[:, 0], rows[:, 10] = age, hours
    label = (age / 90 + hours / 99 + rows[:, 1] / 10 + random.normal(0, 0.1, count) > 1.6).astype(np.int64)
    return rows, label
