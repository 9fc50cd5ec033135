#!/usr/bin/env python3
"""What came out, for people: summary.py FOLDER."""

import json
import sys
from datetime import datetime, timezone
from pathlib import Path

out = Path(sys.argv[1])


def read(name):
    return [json.loads(line) for line in open(out / f"{name}.jsonl")]


def month(row):
    return datetime.fromtimestamp(row["month"] / 1000, timezone.utc).strftime("%Y-%m-%d")


print(f"{'month':<12}{'total':>14}{'published':>12}")
for row in read("totals"):
    print(f"{month(row):<12}{row['total']:>14,.2f}{row['published_total']:>12,.2f}")
print("\nadvice")
for row in sorted(read("advice"), key=lambda row: -row["saving"])[:8]:
    print(f"  {month(row)}  {row['region']:<10}{row['advice']:<17}{row['to'] or '':<11}{row['saving']:>10,.2f}  {row['priority']}")
