#!/usr/bin/env python3
"""Orders of a shop over six hours: generate.py FOLDER [--events N] [--seed S] writes FOLDER/orders.jsonl.

Of 20,000 events 10,001 are orders placed in the third hour, which is a sale: one more than makes no peak. Events come up to four seconds out of
order.
"""

import argparse
import json
import random
from pathlib import Path

BEGIN = 1_699_943_400_000  # 2023-11-14 12:00 in Kolkata
HOUR = 3_600_000
CITIES = ["Mumbai", "Delhi", "Bengaluru", "Chennai", "Kolkata", "Pune", "Kashmir", "Assam", "Kerala"]
METHODS = ["upi", "card", "cod", "wallet"]


def order(number, chance, customers):
    """What an order is, whatever happens to it."""
    return {
        "order_id": f"O{number:06}",
        # A few customers order much more than the others.
        "customer_id": f"C{int(customers * chance.random() ** 3):05}",
        "product_id": f"P{chance.randrange(400):03}",
        "quantity": chance.choice([1, 1, 1, 2, 3]),
        "price": round(min(90_000, chance.lognormvariate(7, 1.3)), 2),
        "payment_method": chance.choice(METHODS),
        "delivery_city": chance.choice(CITIES),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    chance = random.Random(arguments.seed)
    sale = min(10_001, arguments.events * 2 // 3)
    others = (arguments.events - sale) // 2
    events, customers = [], max(10, arguments.events // 8)
    for number in range(sale + others):
        placed = BEGIN + 2 * HOUR + chance.randrange(HOUR) if number < sale else BEGIN + chance.choice([0, 1, 3, 4, 5]) * HOUR + chance.randrange(HOUR)
        one = order(number, chance, customers)
        events.append(one | {"timestamp": placed, "event_type": "order_placed"})
        # What is left of the events are later steps of some orders.
        if len(events) < arguments.events and number % 2 == 0 and number >= sale - others - 2:
            later = placed + chance.randrange(1, 60) * 60_000
            events.append(one | {"timestamp": later, "event_type": chance.choice(["payment_success", "shipped", "delivered"])})
    events = events[: arguments.events]
    events = sorted(events, key=lambda event: event["timestamp"] + chance.randrange(4_000))
    arguments.folder.mkdir(parents=True, exist_ok=True)
    (arguments.folder / "orders.jsonl").write_text("".join(json.dumps(event, separators=(",", ":")) + "\n" for event in events))


if __name__ == "__main__":
    main()
