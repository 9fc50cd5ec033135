#!/usr/bin/env python3
"""What a shop's orders must give (system S5): orders-continuous.py IN OUT, tables filled from all events at once."""

import json
import sys
from collections import defaultdict
from pathlib import Path

HOUR = 3_600_000
HALF = HOUR // 2


def paise(event):
    return round(event["price"] * event["quantity"] * 100)


def customers(placed):
    """Customers in the order in which their orders came."""
    by_customer = defaultdict(list)
    rows, vips, alerts = [], [], []
    for event in placed:
        who = event["customer_id"]
        before = by_customer[who]
        was = sum(map(paise, before))
        before.append(event)
        spent = was + paise(event)
        row = {"customer_id": who, "orders": len(before), "spent": spent / 100, "last_order": max(one["timestamp"] for one in before)}
        rows.append(row)
        if was <= 10_000_000 < spent:
            vips.append(row)
        rapid = sum(0 <= event["timestamp"] - one["timestamp"] < 600_000 for one in before)
        alert = {"customer_id": who, "order_id": event["order_id"]}
        if rapid > 5:
            alerts.append(alert | {"alert": "rapid_orders", "value": rapid})
        if len(before) == 1 and spent > 5_000_000:
            alerts.append(alert | {"alert": "high_value_new_customer", "value": spent / 100})
    return {"customers": rows, "vips": vips, "alerts": alerts}


def hours(placed, field):
    """Orders and revenue of each hour of Kolkata, by a field."""
    sums = defaultdict(lambda: [0, 0])
    for event in placed:
        start = (event["timestamp"] - HALF) // HOUR * HOUR + HALF
        for name in (event[field], None):
            sums[start, name][0] += 1
            sums[start, name][1] += paise(event)
    for (start, name), (count, revenue) in sums.items():
        row = {"window_start": start, "window_end": start + HOUR, "orders": count, "revenue": revenue / 100}
        yield row if name is None else row | {field: name, "average": revenue / 100 / count}


def main():
    source, out = map(Path, sys.argv[1:])
    events = [json.loads(line) for line in open(source / "orders.jsonl")]
    placed, paid, delivered = ([event for event in events if event["event_type"] == kind] for kind in ("order_placed", "payment_success", "delivered"))
    rows = customers(placed)
    by_city, by_method = list(hours(placed, "delivery_city")), list(hours(placed, "payment_method"))
    rows["city-hours"] = [row for row in by_city if "average" in row]
    rows["method-hours"] = [row for row in by_method if "average" in row]
    rows["hours"] = [row | {"closed": True} for row in by_city if "average" not in row]
    rows["peaks"] = [row | {"alert": "peak"} for row in by_city if "average" not in row and row["orders"] > 10_000]
    for name in ("inventory", "recommendations", "sellers"):
        rows[name] = placed
    rows["logistics"] = [event for event in placed if event["delivery_city"] in ("Kashmir", "Assam", "Kerala")]
    rows |= {"fulfilment": paid, "revenue": paid, "delivery-metrics": delivered, "review-requests": delivered, "refused": []}
    out.mkdir(parents=True, exist_ok=True)
    for name, lines in rows.items():
        (out / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


if __name__ == "__main__":
    main()
