#!/usr/bin/env python3
"""What batches of a thousand orders or three seconds must give (system S6): orders-micro-batch.py IN OUT.

A batch takes orders as they come: a thousand of them, or those before its first one's time and three seconds. Each batch is looked at by
itself, and all up to it once more from the first order on.
"""

import json
import sys
from collections import Counter
from pathlib import Path

BATCH = 1_000
SPAN_MS = 3_000


def cut(orders):
    """The batches, each as `(start, end, orders)`; a full one ends behind its latest order."""
    batches, batch = [], []
    for order in orders:
        if batch and order["timestamp"] >= batch[0]["timestamp"] + SPAN_MS:
            batches.append((batch[0]["timestamp"] + SPAN_MS, batch))
            batch = []
        batch.append(order)
        if len(batch) == BATCH:
            batches.append((max(order["timestamp"] for order in batch) + 1, batch))
            batch = []
    if batch:
        batches.append((batch[0]["timestamp"] + SPAN_MS, batch))
    return [(batch[0]["timestamp"], end, batch) for end, batch in batches]


def paise(order):
    return round(order["total_amount"] * 100)


def sums(orders, field):
    """Orders and hundredths by a field."""
    count, total = Counter(), Counter()
    for order in orders:
        count[order[field]] += 1
        total[order[field]] += paise(order)
    return {name: (count[name], total[name]) for name in count}


def ranked(table, most=None, share=1.0):
    """By the largest sum, of equal ones by name."""
    order = sorted(table, key=lambda name: (-table[name][1], name))[:most]
    return [{"name": name, "count": table[name][0], "amount": table[name][1] / 100 * share} for name in order]


def means(table, order):
    return [{"name": name, "count": table[name][0], "amount": table[name][1] / 100 / table[name][0]} for name in order]


def main():
    source, out = map(Path, sys.argv[1:])
    orders = [json.loads(line) for line in open(source / "orders.jsonl")]
    batches, alerts, running = [], [], []
    all_so_far = []
    for number, (start, end, batch) in enumerate(cut(orders), 1):
        all_so_far += batch
        done, all_done = ([one for one in some if one["payment_status"] == "completed"] for some in (batch, all_so_far))
        partners, places = sums(done, "delivery_partner_id"), sums(batch, "delivery_location")
        dishes = Counter(dish for order in batch for dish in order["items"])
        most = sorted(dishes, key=lambda dish: (-dishes[dish], dish))[:5]
        row = {"batch": number, "start": start, "end": end, "orders": len(batch), "restaurants": ranked(sums(batch, "restaurant_id"), 3), "trending": most[:3]}
        row |= {"partners": ranked(partners, share=0.1), "items": [{"name": dish, "count": dishes[dish]} for dish in most]}
        row["locations"] = means(places, sorted(places, key=lambda name: (-places[name][0], name)))
        batches.append(row)
        alerts += [{"alert": "star_partner", "batch": number, "name": name, "count": n} for name, (n, _) in partners.items() if n > 20]
        alerts += [{"alert": "hotspot", "batch": number, "name": name, "count": n} for name, (n, _) in places.items() if n > 10]
        row = {"batch": number, "orders": len(all_so_far), "restaurants": ranked(sums(all_so_far, "restaurant_id"), 5)}
        row |= {"partners": ranked(sums(all_done, "delivery_partner_id"), 5, 0.1)}
        row["locations"] = means(sums(all_so_far, "delivery_location"), sorted(places))
        running.append(row)
    out.mkdir(parents=True, exist_ok=True)
    for name, rows in {"batches": batches, "alerts": alerts, "running": running, "refused": []}.items():
        (out / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


if __name__ == "__main__":
    main()
