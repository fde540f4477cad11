"""Concurrent: trains a model and pushes how it goes while it goes on.

    python3 train.py --gateway http://localhost:9191 --model iris

A small logistic regression on made-up flowers, without any library. `--model` is a grouping key: the dashboard
"Training and Serving" shows the run beside the model of that name in service.
"""

import argparse
import math
import random
import resource
import time

from simplepipe import MetricCollector

FEATURES = 4
RATE = 0.0005


def flowers(count: int) -> list:
    """Pairs of features and kind, 0 or 1."""
    chance = random.Random(1)
    kinds = [chance.randrange(2) for _ in range(count)]
    return [([chance.gauss(1.0 if kind else -1.0, 1.5) for _ in range(FEATURES)], kind) for kind in kinds]


def probability(weights: list, features: list) -> float:
    return 1 / (1 + math.exp(-sum(weights[index] * features[index] for index in range(FEATURES))))


def train_one_epoch(weights: list, rows: list) -> float:
    """Changes the weights; gives the mean loss."""
    loss = 0.0
    for features, kind in rows:
        guess = probability(weights, features)
        loss -= math.log(guess if kind else 1 - guess)
        for index, value in enumerate(features):
            weights[index] += RATE * (kind - guess) * value
    return loss / len(rows)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--gateway", default="http://localhost:9191")
    arguments.add_argument("--model", default="iris")
    arguments.add_argument("--epochs", type=int, default=10)
    arguments.add_argument(
        "--pause", type=float, default=0.5, help="seconds between epochs, to have something to watch"
    )
    wanted = arguments.parse_args()

    rows, unseen = flowers(400), flowers(500)[400:]
    weights = [0.0] * FEATURES
    collector = MetricCollector(wanted.gateway)
    with collector.job("train", grouping_key={"model": wanted.model}, every=1.0) as job:
        job.info("training", {"kind": "logistic regression"}, "What is trained")
        for epoch in range(wanted.epochs):
            with job.timed("epoch_seconds", "Seconds of an epoch"):
                loss = train_one_epoch(weights, rows)
            right = sum((probability(weights, features) > 0.5) == bool(kind) for features, kind in unseen)
            job.gauge("training_loss", loss, "Mean loss of the last epoch")
            job.gauge("model_accuracy_ratio", right / len(unseen), "Share of right answers on rows not trained on")
            job.gauge("training_progress_ratio", (epoch + 1) / wanted.epochs, "Share of the epochs that are done")
            memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
            job.gauge("memory_bytes", memory, "Most memory that the run took")
            time.sleep(wanted.pause)
    print(f"{wanted.model}: {right} of {len(unseen)} right after {wanted.epochs} epochs")


if __name__ == "__main__":
    main()
