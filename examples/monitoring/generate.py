#!/usr/bin/env python3
"""Samples of a cluster of regions, every 30 s: generate.py FOLDER [--events N] [--seed S] writes FOLDER/samples.jsonl.

Each metric of each region is well, bad or very bad for a while; values are often exactly at a threshold. Samples come up to three seconds out of order.
"""

import argparse
import json
import random
from pathlib import Path

BEGIN = 1_700_000_000_000
REGIONS = ["mumbai", "delhi", "bangalore", "hyderabad"]
# Well, warning, critical.
METRICS = {"processing_latency_ms": (80, 200, 500), "events_per_second": (180_000, 100_000, 50_000), "error_rate_percent": (0.5, 2, 5),
           "memory_utilization_percent": (50, 75, 90), "consumer_lag_messages": (5_000, 100_000, 500_000), "network_utilization_percent": (40, 70, 85),
           "disk_io_percent": (40, 80, 95), "inter_region_latency_ms": (60, 150, 300)}


def value(metric, mood, chance):
    """A value of a mood: 0 is well, 1 bad, 2 very bad."""
    well, warning, critical = METRICS[metric]
    if chance.random() < 0.05:
        return chance.choice([warning, critical])
    at = (well, warning, critical)[mood]
    worse = -1 if metric == "events_per_second" else 1
    return round(at * (1 + worse * chance.uniform(0.01, 0.3)), 2)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    chance = random.Random(arguments.seed)
    moods, samples, offset = {}, [], 0
    while len(samples) < arguments.events:
        for region in REGIONS:
            for metric in METRICS:
                mood = moods.get((region, metric), 0)
                if chance.random() < (0.01 if mood == 0 else 0.08):
                    mood = moods[region, metric] = chance.choice([0, 1, 1, 2])
                # Now and then one is missed, or is of another mood.
                if chance.random() < 0.03:
                    continue
                shown = mood if chance.random() < 0.93 else chance.randrange(3)
                sample = {"region": region, "metric": metric, "value": value(metric, shown, chance), "timestamp": BEGIN + offset}
                samples.append((offset + chance.randrange(3_000), sample))
        offset += 30_000
    samples = sorted(samples[: arguments.events], key=lambda pair: pair[0])
    arguments.folder.mkdir(parents=True, exist_ok=True)
    (arguments.folder / "samples.jsonl").write_text("".join(json.dumps(sample, separators=(",", ":")) + "\n" for _, sample in samples))


if __name__ == "__main__":
    main()
