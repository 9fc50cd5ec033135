#!/usr/bin/env python3
"""What came out, for people: summary.py FOLDER."""

import json
import sys
from collections import Counter
from datetime import datetime, timedelta, timezone
from pathlib import Path

KOLKATA = timezone(timedelta(hours=5, minutes=30))


def read(name):
    return [json.loads(line) for line in open(Path(sys.argv[1]) / f"{name}.jsonl")]


def clock(time):
    return datetime.fromtimestamp(time / 1000, KOLKATA).strftime("%H:%M")


hours = read("hours")
station = max(Counter(row["station"] for row in hours), key=lambda name: sum(row["passengers"] for row in hours if row["station"] == name))
first = min(row["window_start"] for row in hours)
trends = {row["window_start"]: row for row in read("trends") if row["station"] == station}
print(f"{station}, the first day:\n")
print(f"{'hour':<8}{'passengers':>10}  {'class':<8}{'three hours':>12}  trend")
for row in sorted((row for row in hours if row["station"] == station), key=lambda row: row["window_start"])[:24]:
    three = trends.get(row["window_start"])
    of_three = f"{three['total']:>12,}  {three['trend']}" if three else ""
    print(f"{clock(row['window_start']):<8}{row['passengers']:>10,}  {row['class']:<8}{of_three}")
for row in read("periods"):
    if row["key"][0] == station and row["window_start"] <= first:
        print(f"{row['key'][1]:>12}: {row['passengers']:,}")
kinds = Counter(row["pattern"] for row in read("journeys"))
print("\njourneys: " + ", ".join(f"{count:,} {kind}" for kind, count in kinds.most_common()))
print(f"sessions: {len(read('sessions')):,}; reports that came after their hour: {len(read('late')):,}")
