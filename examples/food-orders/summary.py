#!/usr/bin/env python3
"""What came out, for people: summary.py FOLDER."""

import json
import sys
from pathlib import Path


def read(name):
    return [json.loads(line) for line in open(Path(sys.argv[1]) / f"{name}.jsonl")]


restaurants = {row["key"]: row for row in read("restaurant-analytics")}
best = sorted(restaurants.values(), key=lambda row: (-row["revenue"], row["key"]))[:3]
print("restaurants: " + ", ".join(f"{row['key']} {row['orders']:,} orders, {row['revenue']:,.0f}" for row in best))
busiest = max(read("delivery-optimizations"), key=lambda row: (row["orders"], row["delivery_area"]))
print(f"areas:       {busiest['delivery_area']} had {busiest['orders']} orders in a quarter of an hour, {busiest['estimated_minutes']:,.0f} minutes of work")
customers = {row["key"]: row for row in read("customer-profile-updates")}
first = max(customers.values(), key=lambda row: (row["revenue"], row["key"]))
print(f"customers:   {first['key']} spent {first['revenue']:,.0f}, likes {first['favourites']['cuisines']}, from {first['favourites']['restaurants']}")
print(f"looked at:   {len(read('fraud-alerts')):,} orders; {len(read('low-inventory')):,} dishes are low; {len(read('refused')):,} were no orders")
