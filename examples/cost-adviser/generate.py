#!/usr/bin/env python3
"""Usage of three regions, hour by hour: generate.py FOLDER [--events N] [--seed S] writes FOLDER/usage.jsonl.

The first month is the published one: Mumbai 5 instances, 500 GB stored, 1,000 GB over the network, 20 partitions; Bangalore 3, 300, 600 and 12. Later months grow
and vary, and Delhi joins. Samples come up to five minutes out of order.
"""

import argparse
import json
import random
from pathlib import Path

MONTH = 30 * 24 * 3_600_000
BEGIN = 656 * MONTH
HOUR = 3_600_000
FIRST = {"mumbai": (5, 500, 1_000, 20), "bangalore": (3, 300, 600, 12)}


def sample(region, hour, chance):
    """What a region uses in an hour."""
    month = hour // 720
    if month == 0:
        instances, stored, network, partitions = FIRST[region]
        return {"instances": instances, "instance_hours": instances, "storage_gb": stored, "network_gb": network / 720, "partitions": partitions}
    base = {"mumbai": 5, "bangalore": 3, "delhi": 4}[region]
    instances = base + chance.randrange(month % 5 + 1)
    return {"instances": instances, "instance_hours": round(instances * chance.uniform(0.5, 1), 2), "storage_gb": round(400 * base * chance.uniform(0.5, 1.5), 1),
            "network_gb": round(chance.uniform(0.5, 3), 3), "partitions": base * 4 + month % 7}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    chance = random.Random(arguments.seed)
    samples, hour = [], 0
    while len(samples) < arguments.events:
        for region in ["mumbai", "bangalore"] + (["delhi"] if hour >= 720 else []):
            time = BEGIN + hour * HOUR + 60_000 * 30
            samples.append((time + chance.randrange(300_000), {"region": region, "timestamp": time} | sample(region, hour, chance)))
        hour += 1
    samples = sorted(samples[: arguments.events], key=lambda pair: pair[0])
    arguments.folder.mkdir(parents=True, exist_ok=True)
    (arguments.folder / "usage.jsonl").write_text("".join(json.dumps(sample, separators=(",", ":")) + "\n" for _, sample in samples))


if __name__ == "__main__":
    main()
