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


minutes = read("dashboard")
regions = list(minutes[0]["regions"]) if minutes else []
print(f"{'minute':<8}{'sessions':>10}" + "".join(f"{name:>11}" for name in regions) + f"{'buffer':>9}{'errors':>9}")
for row in minutes:
    minute = datetime.fromtimestamp(row["minute"] / 1000, timezone.utc).strftime("%H:%M")
    print(f"{minute:<8}{row['concurrent']:>10,}" + "".join(f"{count:>11,}" for count in row["regions"].values())
          + f"{row['mean_buffer']:>8.1f}s{row['error_rate']:>9.1%}")
spilled = sum(row["spilled"] for row in read("assigned"))
print(f"\n{len(read('assigned')):,} sessions placed, {spilled:,} of them not in their own region; circuits opened {sum(row['state'] == 'open' for row in read('circuits'))} times")
for name, field in [("quality", "reason"), ("buffer", "action")]:
    print(f"{name} commands: " + ", ".join(f"{what} {count:,}" for what, count in Counter(row[field] for row in read(name)).most_common()))
