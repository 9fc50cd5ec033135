#!/usr/bin/env python3
"""What the topology of food orders must give (system S8): food-orders.py IN OUT, each output by a walk of its own."""

import json
import sys
from collections import Counter, defaultdict
from datetime import datetime, timedelta, timezone
from pathlib import Path

KOLKATA = timezone(timedelta(hours=5, minutes=30))
MINUTE = 60_000


def paise(order):
    return round(order["total_amount"] * 100)


def is_order(order):
    return order["items"] and order["total_amount"] > 0


def cooks(updates, restaurant, time):
    """What a restaurant cooked at a time."""
    known = [update for update in updates if update["restaurant_id"] == restaurant and update["timestamp"] <= time]
    return max(known, key=lambda update: update["timestamp"])["cuisine"] if known else None


def favourite(values):
    count = Counter(values)
    return min(count, key=lambda value: (-count[value], value))


def standings(orders, key, tallies):
    """What is known of a key after each order."""
    before, sums = defaultdict(list), Counter()
    for order in orders:
        so_far = before[order[key]]
        so_far.append(order)
        sums[order[key]] += paise(order)
        revenue = sums[order[key]] / 100
        row = {"key": order[key], "orders": len(so_far), "revenue": revenue, "mean": revenue / len(so_far)}
        row["last_order"] = max(one["timestamp"] for one in so_far)
        known = {tally: [one[field] for one in so_far if one[field] is not None] for tally, field in tallies.items()}
        yield row | {"favourites": {tally: favourite(values) for tally, values in known.items() if values}}


def areas(orders):
    """Clusters of a quarter of an hour, every five minutes."""
    windows = defaultdict(list)
    for order in orders:
        last = order["timestamp"] // (5 * MINUTE) * (5 * MINUTE)
        for start in (last, last - 5 * MINUTE, last - 10 * MINUTE):
            windows[start, order["delivery_area"]].append(paise(order))
    for (start, area), cluster in windows.items():
        row = {"window_start": start, "window_end": start + 15 * MINUTE, "delivery_area": area, "orders": len(cluster)}
        yield row | {"revenue": sum(cluster) / 100, "average": sum(cluster) / 100 / len(cluster), "estimated_minutes": 15 * len(cluster)}


def inventory(orders):
    """What is left after each piece."""
    sold = Counter()
    for order in orders:
        for item in order["items"]:
            sold[item] += 1
            yield {"product": item, "sold": sold[item], "left": 100 - sold[item]}


def main():
    source, out = map(Path, sys.argv[1:])
    raw, updates = ([json.loads(line) for line in open(source / f"{name}.jsonl")] for name in ("raw-orders", "restaurant-updates"))
    fine = [order for order in raw if is_order(order)]
    orders = [order | {"cuisine": cooks(updates, order["restaurant_id"], order["timestamp"])} for order in fine]
    rows = {"refused": [order for order in raw if not is_order(order)], "inventory": list(inventory(orders))}
    rows["low-inventory"] = [row | {"alert": "low_stock"} for row in rows["inventory"] if row["left"] == 10]
    fields = ("order_id", "customer_id", "restaurant_id", "cuisine", "total_amount", "delivery_area")
    rows["validated-orders"] = [{field: order[field] for field in fields} | {"pieces": len(order["items"])} for order in orders]
    rows["restaurant-analytics"] = standings(orders, "restaurant_id", {})
    rows["customer-profile-updates"] = standings(orders, "customer_id", {"restaurants": "restaurant_id", "cuisines": "cuisine"})
    rows["delivery-optimizations"] = areas(orders)
    rows["fraud-alerts"] = [
        {"order_id": order["order_id"], "customer_id": order["customer_id"], "total_amount": order["total_amount"], "pieces": len(order["items"])}
        for order in orders
        if order["total_amount"] > 5_000 and len(order["items"]) > 10 and datetime.fromtimestamp(order["timestamp"] / 1_000, KOLKATA).hour < 6
    ]
    out.mkdir(parents=True, exist_ok=True)
    for name, lines in rows.items():
        (out / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


if __name__ == "__main__":
    main()
