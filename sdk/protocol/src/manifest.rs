//! What a guest says about itself, readable without running anything.

use serde::{Deserialize, Serialize};

/// The manifest: JSON text in the custom section [`crate::MANIFEST_SECTION`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The ABI version, [`crate::ABI_VERSION`].
    pub abi: u32,
    /// The operator's name.
    pub name: String,
    /// The operator's own version, for people and logs.
    pub version: String,
    /// Whether it keeps state and timers per key.
    pub kind: Kind,
    /// Inputs, at least one; an event's type index counts through the types of all inputs in order.
    pub inputs: Vec<Input>,
    /// Paths of the fields that form the key; empty for a stateless operator, or when the pipeline names the key.
    #[serde(default)]
    pub key: Vec<String>,
    /// Names of the output ports; an effect names a port by its index here.
    #[serde(default)]
    pub outputs: Vec<String>,
    /// The configuration it takes.
    #[serde(default)]
    pub config: Vec<ConfigField>,
    /// The state it keeps per key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<StateSchema>,
    /// Whether it asks for processing time: its frames carry the host's clock and its processing-time timers.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub processing_time: bool,
}

/// Whether an operator keeps state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// No key, no state, no timers.
    Stateless,
    /// State and timers per key.
    Keyed,
}

/// One input of an operator.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// The input's name; `in` where there is only one.
    pub name: String,
    /// Path of the field that tells the event types apart; needed when there is more than one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// The event types; none means that the operator takes each value's bytes untouched.
    #[serde(default)]
    pub types: Vec<EventType>,
    /// True when the reply to `sangam_init` names the fields, because they depend on the configuration.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dynamic: bool,
}

/// The fields that an operator wants of one type of event, in the order in which it gets them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventType {
    /// The value of the tag field that marks this type; the type's name where there is no tag.
    pub name: String,
    /// The fields.
    pub fields: Vec<Field>,
}

/// One wanted field.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Field {
    /// Where it is in the event: names joined by dots, `user.id`.
    pub path: String,
    /// Its type, for people and tools: `str`, `bytes`, `bool`, `i64`, `u64`, `f64`, `any`, …
    #[serde(rename = "type", default)]
    pub kind: String,
    /// Whether an event may lack it (the operator then gets nil); an event without a field that is not optional is refused.
    #[serde(default)]
    pub optional: bool,
}

/// One field of an operator's configuration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConfigField {
    /// Its name in the pipeline's `config` table.
    pub name: String,
    /// Its type, for people and tools.
    #[serde(rename = "type", default)]
    pub kind: String,
    /// Whether the operator refuses to start without it.
    #[serde(default)]
    pub required: bool,
}

/// The shape of the state of one key. Values are encoded by position; the names live here.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StateSchema {
    /// The state's name.
    pub name: String,
    /// The schema version, from 1; a build with another version needs a migration.
    pub version: u32,
    /// The fields in order of their positions.
    #[serde(default)]
    pub fields: Vec<StateField>,
}

/// One field of the state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StateField {
    /// Its name.
    pub name: String,
    /// Its type, for people and tools; `map` and `list` are kept cell by cell.
    #[serde(rename = "type", default)]
    pub kind: String,
}

/// What a manifest says that cannot be, as a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestError(pub String);

impl std::fmt::Display for ManifestError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ManifestError {}

/// The most fields that one event type may ask for.
pub const FIELDS_MAX: usize = 256;

/// The most event types, over all inputs; an event's type travels in one byte.
pub const TYPES_MAX: usize = 255;

/// The most output ports.
pub const PORTS_MAX: usize = 256;

impl Manifest {
    /// Checks what the types alone do not say: the ABI version, unique and plausible names, a tag where types must be told apart.
    pub fn check(&self) -> Result<(), ManifestError> {
        let fail = |text: String| Err(ManifestError(text));
        if self.abi != crate::ABI_VERSION {
            return fail(format!(
                "it was built for ABI {}, this host speaks ABI {}; rebuild it with a matching SDK",
                self.abi,
                crate::ABI_VERSION
            ));
        }
        if self.name.is_empty() || self.name.len() > 128 {
            return fail("its name must have 1 to 128 bytes".into());
        }
        if self.inputs.is_empty() {
            return fail("it names no input".into());
        }
        if self.kind == Kind::Stateless && !self.key.is_empty() {
            return fail("it is stateless but names a key; a keyed operator has `kind` = `keyed`".into());
        }
        if self.outputs.len() > PORTS_MAX {
            return fail(format!("it has {} output ports, more than {PORTS_MAX}", self.outputs.len()));
        }
        if let Some(port) = duplicate(self.outputs.iter()) {
            return fail(format!("the output port `{port}` is there twice"));
        }
        if self.inputs.iter().map(|input| input.types.len().max(1)).sum::<usize>() > TYPES_MAX {
            return fail(format!("it has more than {TYPES_MAX} event types"));
        }
        for input in &self.inputs {
            if input.types.len() > 1 && input.tag.is_none() {
                return fail(format!("the input `{}` has several event types and no `tag` to tell them apart", input.name));
            }
            if let Some(name) = duplicate(input.types.iter().map(|t| &t.name)) {
                return fail(format!("the event type `{name}` is there twice"));
            }
            for event in &input.types {
                if event.fields.len() > FIELDS_MAX {
                    return fail(format!("the event type `{}` asks for more than {FIELDS_MAX} fields", event.name));
                }
                if event.fields.iter().any(|field| field.path.is_empty()) {
                    return fail(format!("a field of the event type `{}` has no path", event.name));
                }
            }
        }
        if self.state.as_ref().is_some_and(|state| state.version == 0) {
            return fail("its state's schema version must be at least 1".into());
        }
        Ok(())
    }

    /// The index of an output port.
    pub fn port(&self, name: &str) -> Option<usize> {
        self.outputs.iter().position(|port| port == name)
    }
}

fn duplicate<'a>(names: impl Iterator<Item = &'a String>) -> Option<&'a String> {
    let mut seen = std::collections::BTreeSet::new();
    names.into_iter().find(|name| !seen.insert(name.as_str()))
}
