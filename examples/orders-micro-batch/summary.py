#!/usr/bin/env python3
"""What came out, for people: summary.py FOLDER."""

import json
import sys
from collections import Counter
from pathlib import Path


def read(name):
    return [json.loads(line) for line in open(Path(sys.argv[1]) / f"{name}.jsonl")]


print(f"{'batch':>5}{'orders':>8}  best restaurants                                trending")
for row in read("batches")[-5:]:
    best = ", ".join(f"{one['name']} {one['amount']:,.0f}" for one in row["restaurants"])
    print(f"{row['batch']:>5}{row['orders']:>8,}  {best:<48}{', '.join(row['trending'])}")
alerts = Counter(row["alert"] for row in read("alerts"))
last = read("running")[-1]
print(f"\nall {last['batch']} batches, {last['orders']:,} orders; " + ", ".join(f"{count:,} times {alert}" for alert, count in alerts.items()))
for name in ("restaurants", "partners"):
    print(f"{name + ':':<13}" + ", ".join(f"{one['name']} {one['amount']:,.0f}" for one in last[name]))
