//! Rule sets that are shipped: written as a pipeline would write them, and read the same way, so that each setting can be changed.

use std::collections::BTreeMap;

use crate::setting::{Setting, Written};

/// A value of a setting.
enum Given {
    Number(f64),
    Text(&'static str),
    Amounts(&'static [f64]),
    Table(&'static [(&'static str, f64)]),
}
use Given::{Amounts, Number, Table, Text};

/// A rule: name, type, weight, and its other settings.
type Row = (&'static str, &'static str, f64, &'static [(&'static str, Given)]);

/// A rule set with what goes with it.
pub struct Preset {
    /// Its name in the configuration.
    pub name: &'static str,
    /// Actions at the levels low, medium, high and critical.
    pub actions: [&'static str; 4],
    /// The field of the device.
    pub device_id: &'static str,
    /// The field of the payer.
    pub payer: &'static str,
    /// The clock on the wall.
    pub zone: &'static str,
    /// Whether a rule that fails is a factor, instead of the payment being refused.
    pub review_failures: bool,
    /// Risk by category of the merchant.
    pub categories: &'static [(&'static str, f64)],
    rows: &'static [Row],
}

impl Preset {
    /// What holds without a preset.
    pub const NONE: Preset = Preset {
        name: "",
        actions: ["allow", "verify", "review", "block"],
        device_id: "device_id",
        payer: "sender_vpa",
        zone: "UTC",
        review_failures: false,
        categories: &[],
        rows: &[
            ("amount_above", "amount_above", 40.0, &[]),
            ("velocity_count", "velocity_count", 30.0, &[]),
            ("velocity_sum", "velocity_sum", 25.0, &[]),
            ("new_device", "new_device", 20.0, &[]),
            ("round_amount", "round_amount", 15.0, &[]),
            ("impossible_travel", "impossible_travel", 50.0, &[]),
        ],
    };

    const UPI: Preset = Preset {
        name: "upi",
        actions: ["approved", "review", "review", "blocked"],
        device_id: "device_id",
        payer: "sender_vpa",
        zone: "Asia/Kolkata",
        review_failures: true,
        categories: &[],
        rows: &[
            ("busy_hour", "velocity_count", 30.0, &[("above", Number(14.0)), ("within", Text("1h"))]),
            ("hourly_amount", "velocity_sum", 25.0, &[("above", Number(50_000.0)), ("within", Text("1h"))]),
            ("round_amount", "round_amount", 15.0, &[("multiple_of", Number(1_000.0)), ("at_least", Number(10_000.0))]),
            (
                "impossible_travel",
                "impossible_travel",
                50.0,
                &[("above_kmh", Number(500.0)), ("above_km", Number(0.0)), ("within", Text("30d"))],
            ),
            (
                "fast_travel",
                "impossible_travel",
                20.0,
                &[("above_kmh", Number(100.0)), ("up_to_kmh", Number(500.0)), ("above_km", Number(50.0)), ("within", Text("30d"))],
            ),
            ("new_device", "new_device", 20.0, &[]),
            // Limits: what is beyond them is told, and adds nothing unless they are given a weight.
            ("daily_limit", "velocity_sum", 0.0, &[("above", Number(100_000.0)), ("within", Text("1d"))]),
            ("hourly_limit", "velocity_count", 0.0, &[("above", Number(20.0)), ("within", Text("1h"))]),
            (
                "model",
                "model",
                50.0,
                &[
                    ("factor_above", Number(40.0)),
                    ("bias", Number(-9.0)),
                    ("log_amount", Number(0.6)),
                    ("weekend", Number(0.2)),
                    ("hour_cos", Number(0.5)),
                    ("score", Number(0.05)),
                ],
            ),
        ],
    };

    const PAYTM: Preset = Preset {
        name: "paytm",
        actions: ["approve", "additional_verification", "manual_review", "block"],
        device_id: "device_fingerprint",
        payer: "sender_phone",
        zone: "Asia/Kolkata",
        review_failures: true,
        categories: &[("gambling", 90.0), ("cryptocurrency", 80.0), ("gift_cards", 70.0), ("forex", 60.0)],
        rows: &[
            ("hourly_amount", "velocity_sum", 40.0, &[("above", Number(50_000.0)), ("within", Text("1h"))]),
            ("hourly_count", "velocity_count", 30.0, &[("above", Number(20.0)), ("within", Text("1h"))]),
            ("daily_amount", "velocity_sum", 50.0, &[("above", Number(200_000.0)), ("within", Text("1d"))]),
            ("equal_amounts", "equal_amounts", 25.0, &[("count", Number(5.0)), ("within", Text("1h"))]),
            ("new_device", "new_device", 20.0, &[]),
            ("new_device_large", "new_device", 15.0, &[("above", Number(25_000.0))]),
            ("shared_device", "shared_device", 30.0, &[("above", Number(3.0))]),
            ("short_device", "short_device", 35.0, &[("below", Number(10.0))]),
            ("round_amount", "amount_in", 20.0, &[("amounts", Amounts(&[10_000.0, 25_000.0, 50_000.0, 100_000.0]))]),
            ("just_below", "amount_in", 35.0, &[("amounts", Amounts(&[9_999.0, 24_999.0, 49_999.0, 99_999.0]))]),
            ("structuring", "amount_between", 25.0, &[("from", Number(9_000.0)), ("to", Number(9_999.0))]),
            ("odd_hours", "odd_hours", 15.0, &[("from", Text("00:00")), ("to", Text("06:00")), ("above", Number(10_000.0))]),
            (
                "impossible_travel",
                "impossible_travel",
                50.0,
                &[("above_kmh", Number(900.0)), ("above_km", Number(0.0)), ("within", Text("30d"))],
            ),
            (
                "fast_travel",
                "impossible_travel",
                20.0,
                &[("above_kmh", Number(100.0)), ("up_to_kmh", Number(900.0)), ("above_km", Number(0.0)), ("within", Text("30d"))],
            ),
            ("risky_place", "risky_place", 15.0, &[]),
            ("risky_merchant", "merchant_score", 30.0, &[("above", Number(70.0))]),
            ("doubtful_merchant", "merchant_score", 15.0, &[("above", Number(50.0)), ("up_to", Number(70.0))]),
            ("new_merchant", "new_merchant", 10.0, &[("contains", Text("NEW")), ("within", Text("30d"))]),
            ("risky_category", "category_score", 5.0, &[("above", Number(0.0))]),
            (
                "model",
                "model",
                30.0,
                &[
                    ("factor_above", Number(20.0)),
                    ("bias", Number(-9.0)),
                    ("log_amount", Number(0.6)),
                    ("weekend", Number(0.2)),
                    ("hour_cos", Number(0.5)),
                    ("score", Number(0.05)),
                    ("types", Table(&[("p2p", 0.3), ("bill_payment", -0.5)])),
                    ("methods", Table(&[("wallet", 0.2), ("card", 0.1)])),
                ],
            ),
        ],
    };

    /// The preset of a name.
    ///
    /// # Errors
    /// When there is none.
    pub fn named(name: &str) -> Result<&'static Preset, String> {
        const KNOWN: [&Preset; 2] = [&Preset::UPI, &Preset::PAYTM];
        let known = KNOWN.into_iter().find(|preset| preset.name == name);
        known.ok_or_else(|| format!("there is no preset `{name}`; there are {}", KNOWN.map(|preset| preset.name).join(" and ")))
    }

    /// Its rules, as a pipeline would write them.
    pub fn rules(&self) -> impl Iterator<Item = Written> {
        self.rows.iter().map(|(name, kind, weight, settings)| {
            let text = |text: &str| Setting::Text(text.to_owned());
            let named = [("name", text(name)), ("type", text(kind)), ("weight", Setting::Number(*weight))];
            let others = settings.iter().map(|(name, given)| (*name, given.setting()));
            named.into_iter().chain(others).map(|(name, setting)| (name.to_owned(), setting)).collect()
        })
    }

    /// Its table of categories.
    pub fn category_scores(&self) -> BTreeMap<String, f64> {
        self.categories.iter().map(|(name, score)| ((*name).to_owned(), *score)).collect()
    }
}

impl Given {
    fn setting(&self) -> Setting {
        match self {
            Number(number) => Setting::Number(*number),
            Text(text) => Setting::Text((*text).to_owned()),
            Amounts(amounts) => Setting::List(amounts.iter().map(|amount| Setting::Number(*amount)).collect()),
            Table(rows) => Setting::Table(rows.iter().map(|(name, number)| ((*name).to_owned(), Setting::Number(*number))).collect()),
        }
    }
}
