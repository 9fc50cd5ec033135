#!/usr/bin/env python3
"""What came out, for people: summary.py FOLDER."""

import json
import sys
from collections import Counter
from datetime import datetime, timezone
from pathlib import Path

out = Path(sys.argv[1])


def read(name):
    return [json.loads(line) for line in open(out / f"{name}.jsonl")]


milestones = read("milestones")
for row in milestones[::10] + milestones[-1:]:
    print(f"{datetime.fromtimestamp(row['at'] / 1000, timezone.utc):%H:%M:%S}  {row['name']} has {row['milestone']:,} viewers")
alerts = read("alerts")
print("\nalerts: " + ", ".join(f"{name} {count:,}" for name, count in Counter(row["alert"] for row in alerts).most_common()))
for row in alerts:
    if row["alert"] != "POOR_QUALITY":
        print(f"  {row['alert']} {row['severity']}: {row['name']}, {row['viewers']:,} viewers, {row['action']}")
print("commands: " + ", ".join(f"{name} {count:,}" for name, count in Counter(row["command"] for row in read("commands")).most_common()))
latest = {row["name"]: row["qualities"] for row in read("region-qualities")}
print("\nquality by region")
for region, qualities in sorted(latest.items()):
    whole = sum(qualities.values())
    print(f"  {region:<15}" + "".join(f"{name:>8} {qualities.get(name, 0) / whole:>4.0%}" for name in ("1080p", "720p", "480p", "360p")))
