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


print(f"{'hour':<8}{'orders':>8}{'revenue':>18}  best city")
peaks = {row["window_start"] for row in read("peaks")}
for row in sorted(read("hours"), key=lambda row: row["window_start"]):
    clock = datetime.fromtimestamp(row["window_start"] / 1000, KOLKATA).strftime("%H:%M")
    print(f"{clock:<8}{row['orders']:>8,}{row['revenue']:>18,.2f}  {row['groups'][0]['delivery_city']}{'  PEAK' if row['window_start'] in peaks else ''}")
alerts = Counter(row["alert"] for row in read("alerts"))
print(f"\nVIPs: {len(read('vips')):,}; " + ", ".join(f"{count:,} {alert}" for alert, count in alerts.most_common()))
print("told: " + ", ".join(f"{name} {len(read(name)):,}" for name in ("inventory", "logistics", "fulfilment", "delivery-metrics")))
