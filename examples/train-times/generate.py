#!/usr/bin/env python3
"""Trains in the order of arrival: generate.py FOLDER [--events N] [--seed S] writes FOLDER/trains.jsonl.

Half of them are the real departures of ../departures, a line per airport. The others go every three minutes from 08:00 on, on ten lines, from a
minute early to five minutes late.
"""

import argparse
import json
import random
from pathlib import Path

BEGIN = 1_699_929_000_000  # 2023-11-14 08:00 in Kolkata
MINUTE = 60_000
LINES = ["WR", "CR", "HR", "TR", "NR", "SR", "ER", "PR", "KR", "MR"]


def timetable(number, chance):
    """Trains every three minutes."""
    for i in range(number):
        line, scheduled = LINES[i % len(LINES)], BEGIN + i // len(LINES) * 3 * MINUTE
        arrived = scheduled + chance.randrange(-MINUTE, 5 * MINUTE + 1)
        yield {"train_id": f"{line}{i // len(LINES) + 1:04}", "line": line, "scheduled": scheduled, "arrived": arrived}


def departures(number):
    """Flights as if they were trains, the first so many in the order in which they left."""
    path = Path(__file__).parent.parent / "departures" / "departures.jsonl"
    for line in path.read_text().splitlines()[:number]:
        flight = json.loads(line)
        scheduled = flight["scheduled_ms"]
        yield {"train_id": flight["flight"], "line": flight["origin"], "scheduled": scheduled, "arrived": scheduled + flight["delay_min"] * MINUTE}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    chance = random.Random(arguments.seed)
    half = arguments.events // 2
    trains = [*departures(half), *timetable(arguments.events - half, chance)]
    trains.sort(key=lambda train: train["arrived"])
    arguments.folder.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps(train, separators=(",", ":")) + "\n" for train in trains]
    (arguments.folder / "trains.jsonl").write_text("".join(lines))


if __name__ == "__main__":
    main()
