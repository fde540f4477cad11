"""Sequential: works, writes its metrics to a file, and knows nothing of Prometheus.

    python3 count_images.py /tmp/metric-in.json && simplepipe push /tmp/metric-in.json count-images

The images are made up: grids of grey values, of which those are counted that are bright.
"""

import argparse
import json
import random
import resource
import time
from pathlib import Path

SIDE = 24


def image(number: int) -> bytes:
    return random.Random(number).randbytes(SIDE * SIDE)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("file", type=Path, help="where to write the metrics, ending with .json")
    arguments.add_argument("--images", type=int, default=500)
    wanted = arguments.parse_args()

    began = time.monotonic()
    images = [image(number) for number in range(wanted.images)]
    bright = sum(sum(grid) > len(grid) * 127.5 for grid in images)
    metrics = [
        metric("run_time_seconds", "Seconds that the run took", time.monotonic() - began),
        metric("images_processed", "Images that were looked at", len(images) - bright, labels={"kind": "dark"}),
        metric("images_processed", "Images that were looked at", bright, labels={"kind": "bright"}),
        metric("data_bytes", "Bytes that were read", sum(map(len, images))),
        metric(
            "memory_bytes", "Most memory that the run took", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        ),
        {"name": "dataset", "description": "What was read", "value": {"made": "by chance"}, "metric_type": "info"},
    ]
    wanted.file.write_text(json.dumps(metrics, indent=2))
    print(f"{bright} of {len(images)} images are bright; metrics in {wanted.file}")


def metric(name: str, description: str, value: float, **more: object) -> dict:
    return {"name": name, "description": description, "value": value, "metric_type": "gauge", **more}


if __name__ == "__main__":
    main()
