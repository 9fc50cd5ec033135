#!/usr/bin/env python3
"""Two days of a railway: generate.py FOLDER [--events N] [--seed S] writes counts.jsonl, how many came through which gate, and taps.jsonl, who did.

Each station has the passengers of the table, times its size, spread over the gates and minutes of the hour. Gates report up to a minute late;
one report in two hundred comes hours late.
"""

import argparse
import json
import random
from pathlib import Path

HOURLY = [150, 80, 45, 30, 40, 200, 800, 2500, 3000, 1500, 1200, 1000, 900, 800, 700, 600, 700, 1200, 2800, 2200, 1800, 1000, 600, 300]
STATIONS = ["Churchgate", "Lower Parel", "Dadar", "Bandra", "Andheri", "Borivali", "Virar", "CST"]
BEGIN = 1_699_900_200_000  # 2023-11-14 00:00 in Kolkata
MINUTE = 60_000
HOUR = 60 * MINUTE


def counts(number, chance):
    """So many reports of gates; one an hour of each station at least."""
    per_hour = max(1, number // (48 * len(STATIONS)))
    for hour in range(48):
        for i, station in enumerate(STATIONS):
            left = round(HOURLY[hour % 24] * (0.4 + 0.2 * i) * chance.uniform(0.9, 1.1))
            for report in range(per_hour):
                passengers = left if report == per_hour - 1 else chance.randrange(left // (per_hour - report) * 2 + 1)
                passengers = min(passengers, left)
                left -= passengers
                yield {"station": station, "passengers": passengers, "timestamp": BEGIN + hour * HOUR + chance.randrange(HOUR)}


def taps(number, chance):
    """So many taps, two to a journey; now and then a gate misses one."""
    made = 0
    while made < number:
        who = f"P{chance.randrange(number // 6 or 1):05}"
        time = BEGIN + chance.randrange(2) * 24 * HOUR + chance.choice([7, 8, 9, 12, 18, 19]) * HOUR + chance.randrange(HOUR)
        for _ in range(chance.choice([1, 1, 2])):
            origin, destination = chance.sample(STATIONS, 2)
            left = time + chance.choice([8, 15, 19, 20, 25, 45, 70]) * MINUTE
            for gate, station, at in (("entry", origin, time), ("exit", destination, left)):
                if chance.random() < 0.97:
                    made += 1
                    yield {"passenger_id": who, "station": station, "gate": gate, "timestamp": at}
            time = left + chance.choice([5, 30, 31, 90]) * MINUTE


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    chance = random.Random(arguments.seed)
    arguments.folder.mkdir(parents=True, exist_ok=True)
    delay = {"counts": lambda: chance.randrange(5 * HOUR) if chance.random() < 0.005 else chance.randrange(MINUTE), "taps": lambda: chance.randrange(MINUTE)}
    for name, events in [("counts", counts(arguments.events * 3 // 4, chance)), ("taps", taps(arguments.events // 4, chance))]:
        arrivals = sorted(((event["timestamp"] + delay[name](), event) for event in events), key=lambda pair: pair[0])
        lines = [json.dumps(event, separators=(",", ":")) + "\n" for _, event in arrivals]
        (arguments.folder / f"{name}.jsonl").write_text("".join(lines))


if __name__ == "__main__":
    main()
