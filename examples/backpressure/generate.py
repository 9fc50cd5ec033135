#!/usr/bin/env python3
"""Jobs of three priorities: generate.py FOLDER [--events N] [--seed S] writes FOLDER/high.jsonl (5 %), normal.jsonl (90 %), low.jsonl (5 %)."""

import argparse
import json
import random
from pathlib import Path

SHARES = {"high": 5, "normal": 90, "low": 5}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    chance = random.Random(arguments.seed)
    lines = {name: [] for name in SHARES}
    for number in range(arguments.events):
        name = chance.choices(list(SHARES), SHARES.values())[0]
        lines[name].append(json.dumps({"id": f"J{number:07}", "seed": chance.randrange(1 << 53)}, separators=(",", ":")) + "\n")
    arguments.folder.mkdir(parents=True, exist_ok=True)
    for name, jobs in lines.items():
        (arguments.folder / f"{name}.jsonl").write_text("".join(jobs))


if __name__ == "__main__":
    main()
