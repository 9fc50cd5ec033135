#!/usr/bin/env python3
"""What came out, for people: summary.py FOLDER."""

import json
import sys
from collections import Counter
from pathlib import Path


def read(name):
    return [json.loads(line) for line in open(Path(sys.argv[1]) / f"{name}.jsonl")]


decided, refused = read("decided"), read("refused")
actions, why = Counter(payment["action"] for payment in decided), Counter(payment["reason"] for payment in refused)
print("decided: " + ", ".join(f"{actions[action]:,} {action}" for action in ("approved", "review", "blocked")))
print("refused: " + ", ".join(f"{count:,} {reason}" for reason, count in why.most_common()))
print(f"told:    {len(read('success')):,} of success, {len(read('failure')):,} of failure; {len(read('errors')):,} system errors")
rules = Counter(reason["rule"] for payment in decided for reason in payment["reasons"])
print("factors: " + ", ".join(f"{rule} {count:,}" for rule, count in rules.most_common()))
worst = max(decided, key=lambda payment: (payment["score"], len(payment["reasons"])))
print(f"\nthe worst: {worst['transaction_id']} of {worst['sender_vpa']}, {worst['amount']:,.2f} rupees, score {worst['score']:g}, {worst['action']}")
for reason in worst["reasons"]:
    print(f"  {reason['weight']:>5g}  {reason['rule']}: {reason['why']}")
