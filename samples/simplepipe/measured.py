"""A decorator is enough for the run time, and whether the last run went well.

python3 measured.py http://localhost:9192
"""

import sys

from simplepipe import MetricCollector

collector = MetricCollector(sys.argv[1] if len(sys.argv) > 1 else "http://localhost:9192")


@collector.measure("nightly-report", grouping_key={"team": "reports"})
def report(rows: int) -> int:
    return sum(number * number for number in range(rows))


if __name__ == "__main__":
    print(f"the report says {report(100_000)}")
