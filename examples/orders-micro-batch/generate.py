#!/usr/bin/env python3
"""Orders of food in a large city: generate.py FOLDER [--events N] [--seed S] writes FOLDER/orders.jsonl.

By turns, for 2,500 orders each, a rush of a thousand orders a second and a hundred a second: batches that the count ends, and the time. Orders come
up to 40 ms out of order. 85 % of the orders are paid, 10 % pending, 5 % failed; amounts are between 150 and 1,500.
"""

import argparse
import json
import random
from pathlib import Path

BEGIN = 1_699_965_000_000  # 2023-11-14 18:00 in Kolkata
DISHES = "biryani dosa idli vada paneer naan thali pizza burger momos noodles samosa poha pav-bhaji kebab lassi chai kulfi jalebi halwa".split()


def skewed(chance, most):
    """A number below `most`; small ones are more frequent."""
    return int(most * chance.random() ** 2)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    chance = random.Random(arguments.seed)
    arguments.folder.mkdir(parents=True, exist_ok=True)
    time, orders = BEGIN, []
    for number in range(arguments.events):
        time += chance.randrange(3) if number // 2_500 % 2 == 0 else chance.randrange(21)
        orders.append((time + chance.randrange(40), number, time))
    with open(arguments.folder / "orders.jsonl", "w") as out:
        for _, number, placed in sorted(orders):
            order = {
                "order_id": f"F{number:06}",
                "restaurant_id": f"R{skewed(chance, 150):03}",
                "customer_id": f"C{chance.randrange(5_000):04}",
                "items": [DISHES[skewed(chance, len(DISHES))] for _ in range(chance.choice([1, 1, 2, 2, 3, 4]))],
                "total_amount": round(chance.uniform(150, 1_500), 2),
                "timestamp": placed,
                "delivery_location": f"area-{skewed(chance, 200):03}",
                "payment_status": chance.choices(["completed", "pending", "failed"], [85, 10, 5])[0],
                "delivery_partner_id": f"D{skewed(chance, 250):03}",
            }
            print(json.dumps(order, separators=(",", ":")), file=out)


if __name__ == "__main__":
    main()
