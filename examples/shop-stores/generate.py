#!/usr/bin/env python3
"""Orders of a shop over half a day: generate.py FOLDER [--events N] [--seed S] writes FOLDER/orders.jsonl; nothing is delivered.

Some customers, sellers and cities have many more orders than others. Orders come up to four seconds out of order.
"""

import argparse
import json
import random
from pathlib import Path

BEGIN = 1_699_911_000_000  # 2023-11-14 03:00 in Kolkata
HOUR = 3_600_000
CATEGORIES = ["electronics", "fashion", "books", "grocery", "toys", "beauty", "sports"]
CITIES = ["Mumbai", "Delhi", "Bengaluru", "Chennai", "Kolkata", "Pune", "Jaipur", "Lucknow", "Patna", "Surat", "Kochi", "Indore"]


def skewed(chance, most):
    """A number below `most`; small ones are more frequent."""
    return int(most * chance.random() ** 3)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    chance = random.Random(arguments.seed)
    orders = []
    for number in range(arguments.events):
        time = BEGIN + number * 12 * HOUR // arguments.events + chance.randrange(1_000)
        customer, product = skewed(chance, arguments.events // 5), skewed(chance, 600)
        order = {
            "order_id": f"O{number:06}",
            "product_id": f"P{product:03}",
            "customer_id": f"C{customer:05}",
            "seller_id": f"S{product % 40:02}" if chance.random() < 0.7 else "S00",
            "category": CATEGORIES[product % len(CATEGORIES)],
            "price": round(min(95_000, chance.lognormvariate(6.5, 1.6)), 2),
            "quantity": chance.choice([1, 1, 1, 2, 5]),
            "delivery_city": CITIES[skewed(chance, len(CITIES))],
            "payment_method": ["upi", "card", "cod"][customer % 3] if chance.random() < 0.8 else chance.choice(["upi", "card", "cod", "wallet"]),
            "timestamp": time,
            "order_status": "placed",
        }
        orders.append((time + chance.randrange(4_000), order))
    orders.sort(key=lambda pair: pair[0])
    arguments.folder.mkdir(parents=True, exist_ok=True)
    (arguments.folder / "orders.jsonl").write_text("".join(json.dumps(order, separators=(",", ":")) + "\n" for _, order in orders))


if __name__ == "__main__":
    main()
