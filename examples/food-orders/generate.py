#!/usr/bin/env python3
"""Orders of food over six hours of a night: generate.py FOLDER [--events N] [--seed S] writes raw-orders.jsonl and restaurant-updates.jsonl.

Restaurants say what they cook before the first order; some change it in the middle. Now and then a large order comes, or none that can be
cooked. Orders come up to four seconds out of order.
"""

import argparse
import json
import random
from pathlib import Path

BEGIN = 1_699_900_200_000 + 3 * 3_600_000  # 2023-11-14 03:00 in Kolkata
HOUR = 3_600_000
CUISINES = ["punjabi", "udupi", "bengali", "chinese", "italian", "hyderabadi"]
DISHES = [f"dish-{i:03}" for i in range(300)]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    chance = random.Random(arguments.seed)
    updates = [{"restaurant_id": f"R{i:02}", "cuisine": CUISINES[i % 6], "timestamp": BEGIN - HOUR} for i in range(1, 60)]
    updates += [{"restaurant_id": f"R{i:02}", "cuisine": chance.choice(CUISINES), "timestamp": BEGIN + 2 * HOUR + i * 60_000} for i in range(0, 60, 3)]
    orders = []
    for number in range(arguments.events):
        time = BEGIN + number * 6 * HOUR // arguments.events + chance.randrange(500)
        large = chance.random() < 0.02
        order = {
            "order_id": f"F{number:06}",
            "customer_id": f"C{int(3_000 * chance.random() ** 2):04}",
            "restaurant_id": f"R{chance.randrange(60):02}",
            "items": [DISHES[int(300 * chance.random() ** 2)] for _ in range(chance.choice([10, 11, 12]) if large else chance.choice([1, 2, 3]))],
            "total_amount": round(chance.uniform(4_500, 9_000) if large else chance.uniform(150, 1_500), 2),
            "delivery_area": f"area-{chance.randrange(15):02}",
            "timestamp": time,
        }
        if chance.random() < 0.005:
            order |= chance.choice([{"items": []}, {"total_amount": 0}, {"total_amount": -50}])
        orders.append((time + chance.randrange(4_000), order))
    orders.sort(key=lambda pair: pair[0])
    arguments.folder.mkdir(parents=True, exist_ok=True)
    for name, events in [("raw-orders", [order for _, order in orders]), ("restaurant-updates", updates)]:
        (arguments.folder / f"{name}.jsonl").write_text("".join(json.dumps(event, separators=(",", ":")) + "\n" for event in events))


if __name__ == "__main__":
    main()
