#!/usr/bin/env python3
"""What came out, for people: summary.py FOLDER."""

import json
import sys
from collections import Counter
from pathlib import Path

STANDS_FOR = 10_000


def read(name):
    return [json.loads(line) for line in open(Path(sys.argv[1]) / f"{name}.jsonl")]


print("a viewer stands for ten thousand\n")
for name in ("viewers", "regions"):
    last, most = {}, Counter()
    for row in read(name):
        last[row["key"]] = row["viewers"]
        most[row["key"]] = max(most[row["key"]], row["viewers"])
    for key, peak in most.most_common():
        print(f"{key:<16}{last[key] * STANDS_FOR:>14,} at the end, {peak * STANDS_FOR:>12,} at most")
print(f"\nmilestones: {len(read('milestones'))}; scale alerts: {len(read('scale-alerts'))}")
print("overloaded: " + ", ".join(f"{key} {count} times" for key, count in Counter(row["key"] for row in read("overloads")).most_common()))
alerts = Counter(row["alert"] for row in read("alerts"))
print(", ".join(f"{alert} {count:,}" for alert, count in alerts.most_common()) + f", commands {len(read('commands')):,}")
final = [row for row in read("content-quality") if row["key"] == "final"][-1]["counts"]
print("chosen: " + ", ".join(f"{quality} {count / sum(final.values()):.0%}" for quality, count in sorted(final.items(), key=lambda pair: -pair[1])))
