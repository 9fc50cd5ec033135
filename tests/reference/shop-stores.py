#!/usr/bin/env python3
"""What a shop's stores must hold after every order (system S9): shop-stores.py IN OUT.

Each table is filled by itself in one walk over the orders; the first five are looked for among all, after every order.
"""

import bisect
import json
import sys
from collections import Counter, defaultdict
from datetime import datetime, timedelta, timezone
from pathlib import Path

KOLKATA = timezone(timedelta(hours=5, minutes=30))
HOUR = 3_600_000
HALF = HOUR // 2


def paise(order):
    return round(order["price"] * order["quantity"] * 100)


def favourite(count):
    return min(count, key=lambda value: (-count[value], value))


def seller_score(orders, revenue, counts):
    return min(revenue / 10_000, 50) + min(orders / 100, 30) + min(5 * len(counts["categories"]), 20)


def standings(orders, key, tallies, score, limit):
    """What is known of a key after each order, and those that go beyond a limit for the first time."""
    stores, told = {}, set()
    rows, alerts = [], []
    for order in orders:
        name = order[key]
        store = stores.setdefault(name, {"orders": 0, "paise": 0, "last": 0, "counts": {tally: Counter() for tally in tallies}})
        store["orders"] += 1
        store["paise"] += paise(order)
        store["last"] = max(store["last"], order["timestamp"])
        for tally, field in tallies.items():
            store["counts"][tally][order[field]] += 1
        revenue = store["paise"] / 100
        row = {"key": name, "orders": store["orders"], "revenue": revenue, "mean": revenue / store["orders"], "last_order": store["last"]}
        row["counts"] = {tally: dict(count) for tally, count in store["counts"].items()}
        row["favourites"] = {tally: favourite(count) for tally, count in store["counts"].items()}
        row["score"] = score(store["orders"], revenue, store["counts"])
        rows.append(row)
        if limit(row) and name not in told:
            told.add(name)
            alerts.append({field: row[field] for field in ("key", "orders", "revenue", "score")})
    return rows, alerts


def leaders(rows, field):
    """The first five, whenever they are others or in another order."""
    # All of them in a row, the largest first.
    values, row_of_all, before = {}, [], []
    for row in rows:
        name = row["key"]
        if name in values:
            row_of_all.pop(bisect.bisect_left(row_of_all, (-values[name], name)))
        values[name] = row[field]
        bisect.insort(row_of_all, (-values[name], name))
        first = [name for _, name in row_of_all[:5]]
        if first != before:
            before = first
            yield {"leaders": [{"key": name, "value": values[name]} for name in first]}


def category_hours(orders):
    sums = defaultdict(list)
    for order in orders:
        sums[(order["timestamp"] - HALF) // HOUR * HOUR + HALF, order["category"]].append(paise(order))
    for (start, category), all_of in sums.items():
        row = {"window_start": start, "window_end": start + HOUR, "category": category, "orders": len(all_of), "revenue": sum(all_of) / 100}
        yield row | {"average": sum(all_of) / 100 / len(all_of)}


def fraud(orders):
    paid = defaultdict(Counter)
    for order in orders:
        before = paid[order["customer_id"]]
        value = order["price"] * order["quantity"]
        factors = {"high_value": 30} if value > 50_000 else {}
        if sum(before.values()) <= 1 and order["price"] > 10_000:
            factors["new_customer"] = 25
        if before and favourite(before) != order["payment_method"]:
            factors["other_payment"] = 15
        if datetime.fromtimestamp(order["timestamp"] / 1_000, KOLKATA).hour < 6:
            factors["night"] = 20
        before[order["payment_method"]] += 1
        if sum(factors.values()) >= 50:
            row = {"order_id": order["order_id"], "customer_id": order["customer_id"], "value": value}
            yield row | {"score": sum(factors.values()), "factors": list(factors)}


def stock(orders):
    sold, told = Counter(), set()
    levels, alerts = [], []
    for order in orders:
        product = order["product_id"]
        sold[product] += order["quantity"]
        row = {"product": product, "sold": sold[product], "left": 100 - sold[product]}
        levels.append(row)
        for alert, holds in (("low_stock", row["left"] < 10), ("high_demand", row["sold"] > 100)):
            if holds and (alert, product) not in told:
                told.add((alert, product))
                alerts.append(row | {"alert": alert})
    return levels, alerts


def main():
    source, out = map(Path, sys.argv[1:])
    orders = [json.loads(line) for line in open(source / "orders.jsonl")]
    rows = {}

    def nothing(*_):
        return 0

    by_customer = {"cities": "delivery_city", "categories": "category", "payments": "payment_method"}
    by_seller = {"cities": "delivery_city", "categories": "category"}
    by_city = {"categories": "category", "payments": "payment_method"}
    rows["customers"], rows["vips"] = standings(orders, "customer_id", by_customer, nothing, lambda row: row["revenue"] > 100_000)
    rows["sellers"], rows["top-sellers"] = standings(orders, "seller_id", by_seller, seller_score, lambda row: row["score"] > 90)
    rows["cities"], rows["busy-cities"] = standings(orders, "delivery_city", by_city, nothing, lambda row: row["orders"] > 1_000)
    rows["best-customers"] = list(leaders(rows["customers"], "revenue"))
    rows["best-sellers"] = list(leaders(rows["sellers"], "score"))
    rows["best-cities"] = list(leaders(rows["cities"], "revenue"))
    rows["category-hours"] = list(category_hours(orders))
    rows["trending"] = [{**row, "alert": "trending"} for row in rows["category-hours"] if row["orders"] > 100]
    for row in rows["trending"]:
        del row["average"]
    rows["fraud"], rows["refused"] = fraud(orders), []
    rows["stock"], rows["stock-alerts"] = stock(orders)
    out.mkdir(parents=True, exist_ok=True)
    for name, lines in rows.items():
        (out / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


if __name__ == "__main__":
    main()
