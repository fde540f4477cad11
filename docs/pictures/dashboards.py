"""Draws the panels of a dashboard with what a Prometheus has: `python dashboards.py URL DASHBOARD.json PICTURE.png`.

Needs matplotlib, which nothing else here does. Variables are at `All`; the range is `MINUTES` (5) up to now, or to
`AT`, in seconds since 1970.
"""

import json
import math
import os
import re
import sys
import time
import urllib.parse
import urllib.request

import matplotlib.pyplot as plt

COLUMNS = 2
VARIABLES = re.compile(r"\$(?!__)(?!interval)\w+")
MINUTES = float(os.environ.get("MINUTES", "5"))
UNITS = {"reqps": "requests/s", "s": "s", "percentunit": "share", "short": ""}


def main(url: str, dashboard: str, picture: str) -> None:
    with open(dashboard) as file:
        described = json.load(file)
    panels = [panel for panel in described["panels"] if panel["type"] != "row"]
    rows = math.ceil(len(panels) / COLUMNS)
    figure, axes = plt.subplots(rows, COLUMNS, figsize=(11, 2.7 * rows), squeeze=False)
    for axis in axes.flat[len(panels) :]:
        axis.axis("off")
    now = float(os.environ.get("AT") or time.time())
    for axis, panel in zip(axes.flat, panels, strict=False):
        draw(axis, panel, url, now)
    figure.suptitle(described["title"], x=0.01, ha="left")
    figure.tight_layout()
    figure.savefig(picture, dpi=70)


def draw(axis, panel, url, now) -> None:
    for target in panel["targets"]:
        expression = VARIABLES.sub(".*", target["expr"]).replace("$interval", "1m")
        for series in ask(url, expression, now):
            seconds, values = zip(*((at - now, float(value)) for at, value in series["values"]), strict=True)
            label = named(target["legendFormat"], series["metric"])
            axis.plot(seconds, values, label=label, linewidth=1)
    unit = panel["fieldConfig"]["defaults"]["unit"]
    axis.set_title(panel["title"], fontsize=9)
    axis.set_ylabel(UNITS.get(unit, unit), fontsize=7)
    axis.set_xlabel("seconds before the end", fontsize=7)
    axis.tick_params(labelsize=7)
    # Room for the legend.
    axis.set_ylim(bottom=0, top=axis.get_ylim()[1] * (1.5 if unit != "percentunit" else 1))
    if any(line.get_label() for line in axis.lines if not line.get_label().startswith("_")):
        axis.legend(fontsize=5, loc="upper left", ncols=3, framealpha=0.6)


def named(legend, labels) -> str:
    return re.sub(r"\{\{(\w+)\}\}", lambda found: labels.get(found[1], ""), legend)


def ask(url, expression, now):
    query = urllib.parse.urlencode({"query": expression, "start": now - MINUTES * 60, "end": now, "step": 5})
    with urllib.request.urlopen(f"{url}/api/v1/query_range?{query}", timeout=30) as answer:
        return json.load(answer)["data"]["result"]


if __name__ == "__main__":
    main(*sys.argv[1:])
