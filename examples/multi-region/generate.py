#!/usr/bin/env python3
"""Two and a half hours of four regions: generate.py FOLDER [--events N] [--seed S] writes FOLDER/traffic.jsonl.

N events, and every 30 s a report of each region. Regions fail one after the other: they are away, make errors, are slow or nearly full.
Events come up to three seconds out of order, reports in order.
"""

import argparse
import json
import random
from pathlib import Path

BEGIN = 1_700_001_000_000
SPAN = 9_000_000
EVERY = 30_000
CAPACITY = {"mumbai": 10_000_000, "delhi": 8_000_000, "bangalore": 6_000_000, "hyderabad": 4_000_000}
TOPICS = {"financial_transactions": 25, "user_events": 35, "government_data": 8, "compliance_events": 7, "tech_events": 12, "analytics_data": 12,
          "letters": 1}
# Minute of the beginning, minutes, region, what is wrong.
TROUBLE = [(10, 6, "delhi", "away"), (25, 5, "bangalore", "errors"), (40, 8, "hyderabad", "slow"), (55, 4, "mumbai", "away"), (58, 4, "bangalore", "away"),
           (75, 10, "mumbai", "full"), (100, 7, "hyderabad", "errors"), (120, 5, "delhi", "slow"), (124, 6, "delhi", "away")]


def report(chance, region, offset):
    """How a region is; now and then just at what is still all right."""
    at = offset / 60_000
    wrong = {what for begin, minutes, name, what in TROUBLE if name == region and begin <= at < begin + minutes}
    return {
        "kind": "health",
        "region": region,
        "reachable": "away" not in wrong,
        "error_rate": round(chance.uniform(5.01, 20), 2) if "errors" in wrong else chance.choice([0, 0.5, 1.2, 4.9, 5]),
        "latency_ms": round(chance.uniform(200.1, 400), 1) if "slow" in wrong else chance.choice([15, 40, 120, 199.9, 200]),
        "load": CAPACITY[region] * (chance.randrange(81, 100) if "full" in wrong else chance.choice([20, 50, 79, 80])) // 100,
        "timestamp": BEGIN + offset,
    }


def event(chance, number, offset):
    """Something to be routed."""
    return {
        "kind": "event",
        "event_id": f"E{number:07}",
        "user_id": f"U{chance.randrange(2_000):04}",
        "topic": chance.choices(list(TOPICS), TOPICS.values())[0],
        "priority": chance.randrange(1, 11),
        "origin": chance.choices([*CAPACITY, "pune"], [35, 25, 20, 15, 5])[0],
        "content_type": chance.choices(["financial", "government", "technology", "analytics", "other"], [25, 35, 15, 15, 10])[0],
        "timestamp": BEGIN + offset,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    chance = random.Random(arguments.seed)
    lines = []
    for number in range(arguments.events):
        offset = number * SPAN // arguments.events
        lines.append((offset + chance.randrange(3_000), event(chance, number, offset)))
    for offset in range(0, SPAN, EVERY):
        lines += [(offset, report(chance, region, offset)) for region in CAPACITY]
    lines.sort(key=lambda pair: pair[0])
    arguments.folder.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(line, separators=(",", ":")) + "\n" for _, line in lines)
    (arguments.folder / "traffic.jsonl").write_text(text)


if __name__ == "__main__":
    main()
