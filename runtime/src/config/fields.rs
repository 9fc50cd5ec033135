//! Reads the keys of one table: each of its kind, each error at its place. A key that was never asked for is unknown.
//!
//! A wrong value is reported here and then looks absent, so that one slip gives one error.

use std::cell::RefCell;
use std::time::Duration;

use toml::de::{DeTable, DeValue};

use super::error::Kind;
use super::source::{At, Place, Source, did_you_mean, either, nearest};
use super::units::{parse_bytes, parse_duration};
use super::values::with_article;

/// A table of the file on its way to being read.
pub(super) struct Fields<'t> {
    source: &'t Source<'t>,
    table: &'t DeTable<'t>,
    /// `[operators.fraud]`, empty for the file itself.
    title: String,
    /// Where to point for what is not there.
    pub place: Place,
    /// The keys that were asked for so far; those are the valid ones.
    known: RefCell<Vec<&'static str>>,
}

impl<'t> Fields<'t> {
    pub fn new(source: &'t Source<'t>, table: &'t DeTable<'t>, title: String, place: Place) -> Self {
        Fields { source, table, title, place, known: RefCell::default() }
    }

    /// The value of a key and its place.
    fn value(&self, key: &'static str) -> Option<(&'t DeValue<'t>, Place)> {
        let mut known = self.known.borrow_mut();
        if !known.contains(&key) {
            known.push(key);
        }
        self.table.get(key).map(|value| (value.get_ref(), value.span()))
    }

    /// True when the key is not there, and no key that nobody knows was meant to be it. Ask once all keys have been read.
    pub fn lacks(&self, key: &str) -> bool {
        let known = self.known.borrow();
        let unknown = self.table.keys().map(|name| name.get_ref().as_ref()).filter(|name| !known.contains(name));
        !self.table.contains_key(key) && unknown.into_iter().all(|name| nearest(name, known.iter().copied()) != Some(key))
    }

    /// Where the key stands.
    pub fn key_place(&self, key: &str) -> Option<Place> {
        self.table.get_key_value(key).map(|(name, _)| name.span())
    }

    /// The keys that were asked for and stand there, right or wrong.
    pub fn present(&self) -> Vec<At<&'static str>> {
        let known = self.known.borrow();
        known.iter().filter_map(|key| self.key_place(key).map(|place| At::new(place, *key))).collect()
    }

    fn wrong_type(&self, key: &str, place: &Place, expected: &str, found: &DeValue<'_>) {
        let found = with_article(found.type_str());
        self.source.error(Kind::WrongType, place, format!("`{key}`: expected {expected}, found {found}"));
    }

    fn string(&self, key: &'static str, expected: &str) -> Option<At<&'t str>> {
        let (value, place) = self.value(key)?;
        match value.as_str() {
            Some(text) => Some(At::new(place, text)),
            None => {
                self.wrong_type(key, &place, expected, value);
                None
            }
        }
    }

    /// Free text, environment variables put in.
    pub fn text(&self, key: &'static str) -> Option<At<String>> {
        let written = self.string(key, "a string")?;
        let value = self.source.expand(written.value, &written.place)?;
        if value.is_empty() {
            self.source.error(Kind::BadName, &written.place, format!("`{key}` must not be empty"));
            return None;
        }
        Some(At::new(written.place, value))
    }

    /// A name: of a stream, a cluster, a plugin, a port. Names take no environment variables.
    pub fn name(&self, key: &'static str) -> Option<At<String>> {
        let written = self.string(key, "a name")?;
        self.as_name(written)
    }

    fn as_name(&self, written: At<&str>) -> Option<At<String>> {
        check_name(self.source, &written).then(|| At::new(written.place, written.value.to_owned()))
    }

    /// One string or a list of them, each made into a value by `each`.
    fn one_or_more<T>(
        &self,
        key: &'static str,
        expected: &str,
        value: &'t DeValue<'t>,
        place: Place,
        each: impl Fn(At<&'t str>) -> Option<At<T>>,
    ) -> Option<Vec<At<T>>> {
        let items: Vec<_> = match value {
            DeValue::String(text) => return each(At::new(place, text)).map(|one| vec![one]),
            DeValue::Array(items) => items.iter().map(|item| (item.get_ref(), item.span())).collect(),
            other => {
                self.wrong_type(key, &place, expected, other);
                return None;
            }
        };
        if items.is_empty() {
            self.source.error(Kind::MissingKey, &place, format!("`{key}` is an empty list; name at least one"));
            return None;
        }
        let read = items.into_iter().map(|(item, place)| match item {
            DeValue::String(text) => each(At::new(place, text)),
            other => {
                self.wrong_type(key, &place, "a string", other);
                None
            }
        });
        let all: Vec<_> = read.collect();
        all.into_iter().collect()
    }

    /// A name or a list of names.
    pub fn names(&self, key: &'static str) -> Option<Vec<At<String>>> {
        let (value, place) = self.value(key)?;
        self.one_or_more(key, "a name or a list of names", value, place, |written| self.as_name(written))
    }

    /// A path to a field or a list of paths.
    pub fn paths(&self, key: &'static str) -> Option<Vec<At<String>>> {
        let (value, place) = self.value(key)?;
        self.one_or_more(key, "a field or a list of fields", value, place, |written| self.as_path(written))
    }

    /// A path to a field of an event: `user.id`.
    pub fn path(&self, key: &'static str) -> Option<At<String>> {
        let written = self.string(key, "a field, such as `time` or `order.time`")?;
        self.as_path(written)
    }

    fn as_path(&self, written: At<&str>) -> Option<At<String>> {
        if written.value.is_empty() {
            self.source.error(Kind::BadField, &written.place, "a field must not be empty; write names joined by dots, as in `user.id`");
            return None;
        }
        if written.value.split('.').any(str::is_empty) {
            let quote = self.source.quote(&written.place);
            self.source.error(
                Kind::BadField,
                &written.place,
                format!("`{quote}` is not a field; write names joined by dots, as in `user.id`"),
            );
            return None;
        }
        Some(At::new(written.place, written.value.to_owned()))
    }

    /// One word of a few.
    pub fn choice<T: Copy>(&self, key: &'static str, choices: &[(&str, T)]) -> Option<At<T>> {
        let names = || choices.iter().map(|(name, _)| *name);
        let written = self.string(key, &either(names()))?;
        let found = choices.iter().find(|(name, _)| *name == written.value);
        if found.is_none() {
            let (quote, hint) = (self.source.quote(&written.place), did_you_mean(written.value, names()));
            let message = format!("`{key}`: expected {}, found `{quote}`{hint}", either(names()));
            self.source.error(Kind::BadChoice, &written.place, message);
        }
        found.map(|(_, choice)| At::new(written.place, *choice))
    }

    pub fn bool(&self, key: &'static str) -> Option<At<bool>> {
        let (value, place) = self.value(key)?;
        match value.as_bool() {
            Some(yes) => Some(At::new(place, yes)),
            None => {
                self.wrong_type(key, &place, "`true` or `false`", value);
                None
            }
        }
    }

    /// A whole number from 1 to `max`.
    pub fn count(&self, key: &'static str, max: u64) -> Option<At<u64>> {
        let (value, place) = self.value(key)?;
        let Some(written) = value.as_integer() else {
            self.wrong_type(key, &place, "a whole number", value);
            return None;
        };
        match i128::from_str_radix(written.as_str(), written.radix()).ok().and_then(|number| u64::try_from(number).ok()) {
            Some(number) if (1..=max).contains(&number) => Some(At::new(place, number)),
            _ => {
                let quote = self.source.quote(&place);
                self.source.error(Kind::OutOfRange, &place, format!("`{key}` must be from 1 to {max}, found {quote}"));
                None
            }
        }
    }

    /// A duration; zero only where `zero` says that it has a meaning.
    pub fn duration(&self, key: &'static str, zero: bool) -> Option<At<Duration>> {
        let written = self.string(key, "a duration, such as \"5s\"")?;
        let value = self.source.expand(written.value, &written.place)?;
        match parse_duration(&value) {
            Ok(Duration::ZERO) if !zero => {
                self.source.error(Kind::OutOfRange, &written.place, format!("`{key}` must be longer than zero"));
                None
            }
            Ok(duration) => Some(At::new(written.place, duration)),
            Err(why) => {
                let quote = self.source.quote(&written.place);
                self.source.error(Kind::BadDuration, &written.place, format!("`{key}`: `{quote}` is not a duration; {why}"));
                None
            }
        }
    }

    /// A duration or `"off"`.
    pub fn duration_or_off(&self, key: &'static str) -> Option<At<Option<Duration>>> {
        match self.says(key, "off") {
            Some(place) => Some(At::new(place, None)),
            None => self.duration(key, false).map(|duration| At::new(duration.place, Some(duration.value))),
        }
    }

    /// The place of the value, if it is exactly that word.
    pub fn says(&self, key: &'static str, word: &str) -> Option<Place> {
        self.value(key).and_then(|(value, place)| (value.as_str() == Some(word)).then_some(place))
    }

    /// A size in bytes: text with a unit, or a plain number of bytes. Never zero, at most `max`.
    pub fn bytes(&self, key: &'static str, max: u64) -> Option<At<u64>> {
        let (value, place) = self.value(key)?;
        let parsed = match value {
            DeValue::String(text) => parse_bytes(&self.source.expand(text, &place)?),
            DeValue::Integer(number) => parse_bytes(number.as_str()),
            other => {
                self.wrong_type(key, &place, "a size, such as \"64MiB\"", other);
                return None;
            }
        };
        let quote = self.source.quote(&place);
        match parsed {
            Ok(bytes) if (1..=max).contains(&bytes) => Some(At::new(place, bytes)),
            Ok(_) => {
                self.source.error(Kind::OutOfRange, &place, format!("`{key}` must be from 1 byte to {}, found `{quote}`", shown(max)));
                None
            }
            Err(why) => {
                self.source.error(Kind::BadSize, &place, format!("`{key}`: `{quote}` is not a size; {why}"));
                None
            }
        }
    }

    /// A share above 0 and up to 1, in millionths.
    pub fn millionths(&self, key: &'static str) -> Option<At<u32>> {
        let (value, place) = self.value(key)?;
        let text = match value {
            DeValue::Float(number) => number.as_str(),
            DeValue::Integer(number) => number.as_str(),
            other => {
                self.wrong_type(key, &place, "a number from 0 to 1, such as 0.95", other);
                return None;
            }
        };
        let millionths = text.parse::<f64>().map_or(0.0, |share| (share * 1e6).round());
        if !(1.0..=1e6).contains(&millionths) {
            let quote = self.source.quote(&place);
            self.source.error(Kind::OutOfRange, &place, format!("`{key}` must be above 0 and at most 1, found {quote}"));
            return None;
        }
        Some(At::new(place, millionths as u32))
    }

    /// A share above 0 % and below 100 %, in millionths.
    pub fn percent(&self, key: &'static str) -> Option<At<u32>> {
        let written = self.string(key, "a share, such as \"5%\"")?;
        let millionths = written.value.trim().strip_suffix('%').and_then(|number| number.trim().parse::<f64>().ok());
        match millionths.map(|percent| (percent * 1e4).round()) {
            Some(millionths) if (1.0..1e6).contains(&millionths) => Some(At::new(written.place, millionths as u32)),
            _ => {
                let quote = self.source.quote(&written.place);
                let message = format!("`{key}` must be a share above 0% and below 100%, such as `5%`, found `{quote}`");
                self.source.error(Kind::OutOfRange, &written.place, message);
                None
            }
        }
    }

    /// Where the key stands, if its value is a table.
    pub fn table_place(&self, key: &'static str) -> Option<Place> {
        let (value, _) = self.value(key)?;
        value.as_table().and_then(|_| self.key_place(key))
    }

    /// A table with known keys.
    pub fn table(&self, key: &'static str, title: impl Into<String>) -> Option<Fields<'t>> {
        let (value, place) = self.value(key)?;
        match value.as_table() {
            Some(table) => Some(Fields::new(self.source, table, title.into(), self.key_place(key).unwrap_or(place))),
            None => {
                self.wrong_type(key, &place, "a table", value);
                None
            }
        }
    }

    /// A table whose keys the user chose, in the order of the file, each with its value.
    pub fn entries(&self, key: &'static str) -> Vec<(At<String>, &'t DeValue<'t>, Place)> {
        let Some((value, place)) = self.value(key) else { return Vec::new() };
        let Some(table) = value.as_table() else {
            self.wrong_type(key, &place, "a table", value);
            return Vec::new();
        };
        let mut entries: Vec<_> =
            table.iter().map(|(name, value)| (At::new(name.span(), name.get_ref().to_string()), value.get_ref(), value.span())).collect();
        entries.sort_by_key(|(name, ..)| name.place.start);
        entries
    }

    /// A table of named tables, `[streams.x]`, in the order of the file.
    pub fn tables(&self, key: &'static str) -> Vec<(At<String>, Fields<'t>)> {
        let mut tables = Vec::new();
        for (name, value, place) in self.entries(key) {
            let title = format!("[{key}.{}]", name.value);
            match value.as_table() {
                Some(table) => {
                    check_name(self.source, &At::new(name.place.clone(), name.value.as_str()));
                    let fields = Fields::new(self.source, table, title, name.place.clone());
                    tables.push((name, fields));
                }
                None => self.wrong_type(&format!("{key}.{}", name.value), &place, "a table", value),
            }
        }
        tables
    }

    /// A table of text to scalars, passed through as it is: strings with variables put in, numbers and booleans as text.
    pub fn pass_through(&self, key: &'static str) -> Vec<(At<String>, String)> {
        let mut options = Vec::new();
        for (name, value, place) in self.entries(key) {
            let text = match value {
                DeValue::String(text) => self.source.expand(text, &place),
                DeValue::Integer(number) => Some(number.as_str().to_owned()),
                DeValue::Float(number) => Some(number.as_str().to_owned()),
                DeValue::Boolean(yes) => Some(yes.to_string()),
                other => {
                    // An option with dots and without quotes is a table to TOML.
                    let found = with_article(other.type_str());
                    let help = "write names that have dots in quotes, as in \"security.protocol\" = \"ssl\"";
                    let message = format!("`{key}.{}`: expected a string, a number or a boolean, found {found}; {help}", name.value);
                    self.source.error(Kind::WrongType, &name.place, message);
                    None
                }
            };
            options.extend(text.map(|text| (name, text)));
        }
        options
    }

    /// A table that is the operator's own, variables put in.
    pub fn free(&self, key: &'static str) -> Option<toml::Table> {
        let (value, place) = self.value(key)?;
        match value {
            DeValue::Table(table) => Some(self.free_table(key, table)),
            other => {
                self.wrong_type(key, &place, "a table", other);
                None
            }
        }
    }

    fn free_table(&self, key: &str, table: &DeTable<'_>) -> toml::Table {
        let values = table.iter().filter_map(|(name, value)| {
            let value = self.free_value(key, value.get_ref(), &value.span())?;
            Some((name.get_ref().to_string(), value))
        });
        values.collect()
    }

    fn free_value(&self, key: &str, value: &DeValue<'_>, place: &Place) -> Option<toml::Value> {
        let too_large = || {
            let quote = self.source.quote(place);
            self.source.error(Kind::OutOfRange, place, format!("`{key}`: {quote} does not fit 64 bits"));
            None
        };
        Some(match value {
            DeValue::String(text) => toml::Value::String(self.source.expand(text, place)?),
            DeValue::Integer(written) => {
                toml::Value::Integer(i64::from_str_radix(written.as_str(), written.radix()).ok().or_else(too_large)?)
            }
            DeValue::Float(written) => toml::Value::Float(written.as_str().parse().ok()?),
            DeValue::Boolean(yes) => toml::Value::Boolean(*yes),
            DeValue::Datetime(time) => toml::Value::Datetime(*time),
            DeValue::Array(items) => {
                toml::Value::Array(items.iter().filter_map(|item| self.free_value(key, item.get_ref(), &item.span())).collect())
            }
            DeValue::Table(table) => toml::Value::Table(self.free_table(key, table)),
        })
    }

    /// Reports every key that nothing asked for.
    pub fn finish(self) {
        let known = self.known.into_inner();
        for name in self.table.keys() {
            let written = name.get_ref().as_ref();
            if known.contains(&written) {
                continue;
            }
            let hint = did_you_mean(written, known.iter().copied());
            let hint = if hint.is_empty() { format!("; expected {}", either(known.iter().copied())) } else { hint };
            let section = if self.title.is_empty() { String::new() } else { format!(" in `{}`", self.title) };
            self.source.error(Kind::UnknownKey, &name.span(), format!("unknown key `{written}`{section}{hint}"));
        }
    }
}

/// The longest name; also the longest that Kafka takes for a topic.
const NAME_BYTES_MAX: usize = 249;

/// Reports a name that cannot be one.
pub(super) fn check_name(source: &Source<'_>, written: &At<&str>) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let problem = match written.value {
        "" => "a name must not be empty".to_owned(),
        "." | ".." => format!("`{}` is not a name", written.value),
        name if name.len() > NAME_BYTES_MAX => format!("a name must not be longer than {NAME_BYTES_MAX} characters"),
        name => match name.chars().find(|c| !allowed(*c)) {
            Some(odd) => format!("`{name}` is not a name: it has `{}`, names have letters, digits, `.`, `_` and `-`", odd.escape_default()),
            None => return true,
        },
    };
    source.error(Kind::BadName, &written.place, problem);
    false
}

fn shown(bytes: u64) -> String {
    let (scale, unit) = if bytes >= 1 << 30 { (1 << 30, "GiB") } else { (1 << 20, "MiB") };
    format!("{}{unit}", bytes / scale)
}
