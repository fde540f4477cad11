"""Builds the model artifacts that the sample manifests name: `python -m samples.build FOLDER`.

Runs in MLServer's environment, so that models are pickled by the scikit-learn that reads them.
"""

import hashlib
import json
import os
import shutil
import sys
from collections.abc import Callable
from functools import partial
from importlib import metadata
from pathlib import Path

_HERE = Path(__file__).resolve().parent
_SOURCES = _HERE / "artifacts"
_STAMP = ".built"


def build(target: Path) -> bool:
    """Bring `target` up to date; False when it already was. Old models stay until all new ones are complete."""
    stamp = _fingerprint()
    if (target / _STAMP).is_file() and (target / _STAMP).read_text() == stamp:
        return False
    # Inside, as the folder itself may be the root of a volume, which cannot be renamed.
    fresh = target / f".fresh.{os.getpid()}"
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    for name, fit in _trained().items():
        (fresh / name).mkdir()
        fit(fresh / name)
        _write_sklearn_settings(fresh / name)
    for name, (detector, learn) in _detectors().items():
        (fresh / name).mkdir()
        learn(fresh / name)
        shutil.copy(_SOURCES / "detectors" / f"{detector}.py", fresh / name)
        implementation = f"{detector}.{detector.capitalize()}"
        _write_settings(fresh / name, implementation, {"uri": "./reference.npy", "version": "1"})
    for source in _folders(_SOURCES / "mlserver"):
        shutil.copytree(source, fresh / source.name, ignore=shutil.ignore_patterns("__pycache__"))
    for source in _folders(_SOURCES / "triton"):
        shutil.copytree(source, fresh / source.name, ignore=shutil.ignore_patterns("__pycache__"))
    for numbers in fresh.rglob("affine.json"):
        shutil.copyfile(_SOURCES / "triton" / "affine.py", numbers.with_name("model.py"))
    _move_all(fresh, target)
    (target / _STAMP).write_text(stamp)
    return True


def _trained() -> dict[str, Callable[[Path], None]]:
    # scikit-learn takes seconds to import, which is not worth it when nothing has to be trained.
    from samples import train

    return {
        "iris": partial(train.iris, regularisation=1.0),
        "iris-v2": partial(train.iris, regularisation=10.0),
        "iris-v3": partial(train.iris, regularisation=100.0),
        "income": train.income,
        "income-preprocess": train.income_preprocess,
        "sentiment": train.sentiment,
    }


def _detectors() -> dict[str, tuple[str, Callable[[Path], None]]]:
    """The detector's module, and what makes the rows it compares with."""
    from samples import train

    return {
        "iris-drift": ("drift", train.iris_reference),
        "income-drift": ("drift", train.income_reference),
        "income-outlier": ("outlier", train.income_preprocessed_reference),
    }


def _write_sklearn_settings(folder: Path) -> None:
    parameters: dict[str, object] = {"uri": "./model.joblib", "version": "1"}
    if folder.name == "income-preprocess":
        parameters["extra"] = {"predict_fn": "transform"}
    if folder.name == "sentiment":
        parameters["content_type"] = "str"
    _write_settings(folder, "mlserver_sklearn.SKLearnModel", parameters)


def _write_settings(folder: Path, implementation: str, parameters: dict[str, object]) -> None:
    settings = {"name": folder.name, "implementation": implementation, "parameters": parameters}
    (folder / "model-settings.json").write_text(json.dumps(settings, indent=2) + "\n")


def _fingerprint() -> str:
    """Changes with any source file, and with the scikit-learn version because pickles do not outlive it."""
    digest = hashlib.sha256(metadata.version("scikit-learn").encode())
    sources = [path for path in _SOURCES.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    for path in sorted([*sources, *_HERE.glob("*.py")]):
        digest.update(str(path.relative_to(_HERE)).encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def _folders(parent: Path) -> list[Path]:
    return sorted(path for path in parent.iterdir() if path.is_dir() and path.name != "__pycache__")


def _move_all(fresh: Path, target: Path) -> None:
    """Replace each model of `target`, and drop those that are no samples any more."""
    (target / _STAMP).unlink(missing_ok=True)
    for old in _folders(target):
        if old != fresh:
            shutil.rmtree(old)
    for model in _folders(fresh):
        model.rename(target / model.name)
    fresh.rmdir()


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m samples.build FOLDER")
    changed = build(Path(sys.argv[1]).resolve())
    print("sample models built" if changed else "sample models are up to date")
