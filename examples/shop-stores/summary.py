#!/usr/bin/env python3
"""What came out, for people: summary.py FOLDER."""

import json
import sys
from collections import Counter
from pathlib import Path


def read(name):
    return [json.loads(line) for line in open(Path(sys.argv[1]) / f"{name}.jsonl")]


for name in ("customers", "sellers", "cities"):
    last = {row["key"]: row for row in read(name)}
    field = "score" if name == "sellers" else "revenue"
    first = sorted(last.values(), key=lambda row: (-row[field], row["key"]))[:5]
    print(f"{name + ', first five:':<26}" + ", ".join(f"{row['key']} {row[field]:,.0f}" for row in first))
print(f"\nVIPs {len(read('vips')):,}, top sellers {len(read('top-sellers')):,}, busy cities {len(read('busy-cities')):,}", end="")
print(f", trending hours of categories {len(read('trending')):,}")
alerts = Counter(row["alert"] for row in read("stock-alerts"))
print("stock: " + ", ".join(f"{count:,} {alert}" for alert, count in alerts.items()))
fraud = read("fraud")
factors = Counter(factor for row in fraud for factor in row["factors"])
print(f"strange orders: {len(fraud):,}; " + ", ".join(f"{factor} {count:,}" for factor, count in factors.most_common()))
