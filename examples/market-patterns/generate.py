#!/usr/bin/env python3
"""A day on a market: generate.py FOLDER [--events N] [--seed S] writes FOLDER/market.jsonl and FOLDER/rules.jsonl.

Forty symbols, a few of them lively at a time: trades that drift, orders of either side, news, price alerts, volume spikes. Events come up to
twenty seconds out of order. In the middle of the day one pattern is off for two hours, and another one comes.
"""

import argparse
import json
import random
from pathlib import Path

BEGIN = 1_699_933_500_000  # 2023-11-14 09:15 in Kolkata
HOUR = 3_600_000
SPAN = 22_500_000  # until 15:30
SUBJECTS = ["Quarterly", "Regional", "Export", "Retail", "Overall", "Unexpected"]
WORDS = "profit growth success record surge gain rise increase loss decline fall crash fraud scandal penalty fine debt sales results plans".split()


def news(chance):
    """A headline of three or four words."""
    return " ".join([chance.choice(SUBJECTS)] + chance.choices(WORDS, k=chance.choice([2, 3])))


def happening(symbol, prices, chance):
    """What happens to a symbol."""
    kind = chance.choices(["trade", "order", "news", "volume_spike", "price_alert"], [52, 33, 7, 6, 2])[0]
    if kind in ("trade", "price_alert"):
        prices[symbol] = round(max(1, prices[symbol] + chance.choice([-0.5, -0.25, 0, 0.25, 0.25, 0.5])), 2)
        return {"type": kind, "price": prices[symbol], "volume": chance.randrange(1, 5_000)}
    if kind == "order":
        size = chance.choice([10_000, 30_000, 50_000]) if chance.random() < 0.1 else round(chance.lognormvariate(9.5, 1.2))
        return {"type": kind, "order_type": chance.choice(["buy", "sell"]), "order_size": size}
    if kind == "news":
        return {"type": kind, "news_text": news(chance)}
    return {"type": kind, "volume": chance.randrange(100_000, 1_000_000)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    chance = random.Random(arguments.seed)
    symbols = [f"SYM{i:02}" for i in range(40)]
    prices = {symbol: chance.randrange(50, 3_000) for symbol in symbols}
    events = []
    for number in range(arguments.events):
        time = BEGIN + number * SPAN // arguments.events
        # Four symbols are lively for a thirtieth of the day.
        lively = number * 30 // arguments.events
        symbol = symbols[(lively * 4 + chance.randrange(4)) % 40] if chance.random() < 0.5 else chance.choice(symbols)
        event = {"event_id": f"E{number:06}", "symbol": symbol, "timestamp": time} | happening(symbol, prices, chance)
        events.append((time + chance.randrange(20_000), event))
    events.sort(key=lambda pair: pair[0])
    panic = {"route": "risk", "pattern": {"steps": [{"name": "sale", "where": {"all": [
        {"field": "order_type", "equals": "sell"}, {"field": "order_size", "above": 95_000}]}}]}}
    rules = [
        {"pattern": "bull_run", "off": True, "timestamp": BEGIN + 2 * HOUR},
        {"pattern": "panic", "rule": panic, "timestamp": BEGIN + 3 * HOUR},
        {"pattern": "bull_run", "timestamp": BEGIN + 4 * HOUR},
    ]
    arguments.folder.mkdir(parents=True, exist_ok=True)
    for name, lines in [("market", [event for _, event in events]), ("rules", rules)]:
        (arguments.folder / f"{name}.jsonl").write_text("".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines))


if __name__ == "__main__":
    main()
