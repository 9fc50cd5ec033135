#!/usr/bin/env python3
"""What came out, for people: summary.py FOLDER."""

import json
import sys
from collections import Counter
from datetime import datetime, timedelta, timezone
from pathlib import Path

KOLKATA = timezone(timedelta(hours=5, minutes=30))
out = Path(sys.argv[1])
print(f"{'day':<12}{'approved':>10}{'review':>10}{'blocked':>10}{'rate':>9}")
for line in open(out / "totals.jsonl"):
    day = json.loads(line)
    name = datetime.fromtimestamp(day["window_start"] / 1000, KOLKATA).strftime("%Y-%m-%d")
    print(f"{name:<12}{day['approved']:>10,}{day['review']:>10,}{day['blocked']:>10,}{day['rate']:>9.1%}")

scored = [json.loads(line) for line in open(out / "scored.jsonl")]
rules = Counter(reason["rule"] for payment in scored for reason in payment["reasons"])
print("\nrules that fired most: " + ", ".join(f"{rule} {count:,}" for rule, count in rules.most_common(8)))
worst = max(scored, key=lambda payment: (payment["score"], len(payment["reasons"])))
print(f"\nthe worst: {worst['transaction_id']}, {worst['amount']:,.2f} rupees, score {worst['score']:g}, {worst['action']}")
for reason in worst["reasons"]:
    print(f"  {reason['weight']:>5g}  {reason['rule']}: {reason['why']}")
