#!/usr/bin/env python3
"""Asks the running example for what it keeps of each restaurant and each customer: stores.py PORT EXPECTED, the last event of a key is what it holds."""

import json
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

STORES = {"restaurants": "restaurant-analytics", "customers": "customer-profile-updates"}
PATIENCE = 60.0


def ask(port, store, key):
    """What a store holds of a key; None where it holds nothing, and while nobody answers."""
    url = f"http://127.0.0.1:{port}/api/v1/pipeline/state/{store}?key={urllib.parse.quote(key)}"
    try:
        with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
            return json.load(answer)["state"]
    except urllib.error.URLError:
        return None


def wait_for(port, store, key, orders, until):
    """The same once so many orders are in it, or when time is up."""
    while True:
        state = ask(port, store, key)
        if (state and state["orders"] >= orders) or time.monotonic() > until:
            return state
        time.sleep(0.02)


def main():
    port, expected = sys.argv[1], Path(sys.argv[2])
    until = time.monotonic() + PATIENCE
    wrong = []
    for store, stream in STORES.items():
        last = {row["key"]: row for row in map(json.loads, open(expected / f"{stream}.jsonl"))}
        for key, row in last.items():
            state = wait_for(port, store, key, row["orders"], until)
            # Revenue is kept in paise.
            if not state or (state["orders"], state["revenue"]) != (row["orders"], round(row["revenue"] * 100)):
                wrong.append(f"{store}, {key}: {state}, not {row['orders']} orders of {row['revenue']}")
    sys.exit("\n".join(wrong[:5]) if wrong else 0)


if __name__ == "__main__":
    main()
