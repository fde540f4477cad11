"""An artifact is asked for its backend's file before Triton is, which may wait for ever for one that is not there."""

from pathlib import PurePosixPath

import pytest

from services.agent.repository.artifact_version import Listing, choose_triton_folder
from services.agent.repository.triton_artifact import check_artifact
from services.agent.repository.triton_config import parse_config
from shared.errors import InvalidInput

PYTHON = 'backend: "python"'


def check(config: str, *files: str, folders: tuple[str, ...] = ()) -> None:
    listing = Listing.of([*files, "config.pbtxt"], folders)
    check_artifact(parse_config(config), listing, choose_triton_folder(listing, None))


@pytest.mark.parametrize(
    ("config", "file"),
    [
        ('backend: "python"', "1/model.py"),
        ('backend: "python" default_model_filename: "mine.py"', "1/mine.py"),
        ('backend: "onnxruntime"', "1/model.onnx"),
        ('platform: "onnxruntime_onnx"', "3/model.onnx/model.onnx"),
        ('backend: "tensorflow"', "1/model.graphdef"),
        ('platform: "tensorflow_savedmodel"', "1/model.savedmodel/saved_model.pb"),
        ('backend: "tensorrt"', "1/model.plan"),
        ('platform: "tensorrt_plan" cc_model_filenames { key: "7.5" value: "75.plan" }', "1/75.plan"),
        ('platform: "pytorch_libtorch"', "1/model.pt"),
        ('backend: "pytorch"', "1/model.py"),
        ('backend: "openvino"', "1/model.xml"),
        ('backend: "openvino" default_model_filename: "model.onnx"', "1/model.onnx"),
        ('backend: "fil"', "1/xgboost.json"),
        ('backend: "fil"', "1/checkpoint.tl"),
        ('backend: "dali"', "1/model.dali"),
        ('backend: "vllm"', "1/model.json"),
        ('platform: "ensemble"', "readme.txt"),
        ('backend: "our-own"', "1/weights.bin"),
        ('backend: "our-own" default_model_filename: "elsewhere"', "1/weights.bin"),
        ('platform: "of-tomorrow"', "1/weights.bin"),
        ("", "1/model.onnx"),
        ("", "1/model.our-own"),
        ("", "model.py"),
    ],
)
def test_a_complete_artifact_passes(config: str, file: str) -> None:
    check(config, file)


@pytest.mark.parametrize(
    ("config", "files", "words"),
    [
        (PYTHON, ["1/modle.py"], r"version folder 1 has no model\.py, which backend 'python' needs: found 1/modle\.py"),
        (PYTHON, ["-1/model.py"], r"has no model\.py, .*found -1/model\.py; name a version folder by a number above 0"),
        (PYTHON, ["v1/model.py"], r"found v1/model\.py; name a version folder"),
        (PYTHON, ["1/src/model.py"], r"found 1/src/model\.py; .*directly in there"),
        (PYTHON, ["1/model.py", "2/model.pyc"], r"version folder 2 has no model\.py, .*found 1/model\.py"),
        (PYTHON, [], r"the artifact has no model\.py, which backend 'python' needs: found no files"),
        (
            f"{PYTHON} default_model_filename: 'my.py'",
            ["1/model.py"],
            r"no my\.py, which config\.pbtxt names as its file",
        ),
        ('backend: "onnxruntime"', ["1/model.onx"], r"no model\.onnx, which .*'onnxruntime' needs: found 1/model\.onx"),
        ('platform: "tensorflow_savedmodel"', ["1/model.graphdef"], r"no model\.savedmodel, which platform 'tensorf"),
        ('backend: "tensorflow"', ["1/saved_model.pb"], r"no model\.savedmodel or model\.graphdef, which"),
        ('platform: "tensorrt_plan"', ["1/model.engine"], r"no model\.plan"),
        ('platform: "pytorch_libtorch"', ["1/model.pth"], r"no model\.pt, .*found 1/model\.pth"),
        ('backend: "openvino"', ["1/model.bin"], r"no model\.xml, .*found 1/model\.bin"),
        ('backend: "fil"', ["1/model.json"], r"no xgboost\.model or xgboost\.json"),
        ('backend: "dali"', ["1/pipeline.py"], r"no model\.dali or dali\.py"),
        ("", ["1/weights.bin"], r"no model\.onnx or .*, which Triton needs, as no config\.pbtxt names a backend"),
    ],
)
def test_what_is_missing_is_named_and_what_is_there_instead(config: str, files: list[str], words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        check(config, *files)


def test_a_long_list_is_cut() -> None:
    with pytest.raises(InvalidInput, match=r"found 1/0\.txt, 1/1\.txt, 1/2\.txt, 1/3\.txt, 1/4\.txt and 3 more$"):
        check('backend: "python"', *(f"1/{number}.txt" for number in range(8)))


def test_the_asked_version_is_the_one_that_is_looked_at() -> None:
    listing = Listing.of(["1/model.py", "2/other.py"])
    check_artifact(parse_config('backend: "python"'), listing, PurePosixPath("1"))
    with pytest.raises(InvalidInput, match="version folder 2 has no"):
        check_artifact(parse_config('backend: "python"'), listing, PurePosixPath("2"))
