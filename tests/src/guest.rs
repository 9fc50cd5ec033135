//! Guests in WebAssembly text: the fixtures, and a template from which a test makes one that differs in a single respect.

use std::path::Path;

/// A fixture of `fixtures/guests`, assembled.
pub fn fixture(name: &str) -> anyhow::Result<Vec<u8>> {
    Ok(wat::parse_file(Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/guests").join(name))?)
}

/// A guest in parts. The default one is well-behaved: it has one port and answers every frame with effects in which nothing happens.
#[derive(Clone, Debug)]
pub struct Guest {
    /// The manifest, or `None` for a module without one.
    pub manifest: Option<String>,
    /// Imports; they come first in a module.
    pub imports: String,
    /// The memory with its export.
    pub memory: String,
    /// Functions, tables, data, a start function, further sections.
    pub more: String,
    /// `sangam_alloc`, whole.
    pub alloc: String,
    /// Body of `sangam_init`, `$ptr` and `$len` are its parameters.
    pub init: String,
    /// Body of `sangam_process`, the same.
    pub process: String,
}

/// The manifest of the default guest.
pub const MANIFEST: &str = r#"{"abi":1,"name":"guest","version":"1","kind":"keyed","inputs":[{"name":"in","types":[{"name":"Word","fields":[{"path":"text"}]}]}],"key":["text"],"outputs":["out"]}"#;

impl Default for Guest {
    fn default() -> Self {
        Guest {
            manifest: Some(MANIFEST.into()),
            imports: String::new(),
            memory: r#"(memory (export "memory") 1)"#.into(),
            more: String::new(),
            alloc: r#"(func (export "sangam_alloc") (param i32) (result i32) (i32.const 4096))"#.into(),
            // At 16 lie the empty effects, at 23 the reply that accepts.
            init: "(i64.const 0x1700000001)".into(),
            process: "(i64.const 0x1000000007)".into(),
        }
    }
}

impl Guest {
    /// The well-behaved guest with another body of `sangam_process`.
    pub fn processing(body: impl Into<String>) -> Self {
        Guest { process: body.into(), ..Guest::default() }
    }

    /// The well-behaved guest, but these bytes are its effects; they lie at 8192, behind the frame.
    pub fn answering(effects: &[u8]) -> Self {
        Guest {
            more: format!(r#"(data (i32.const 8192) "{}")"#, escaped(effects)),
            process: format!("(i64.const {})", (8192u64 << 32) | effects.len() as u64),
            ..Guest::default()
        }
    }

    /// The same, but it has nothing to say to a batch of no events.
    pub fn from_the_first_event(self) -> Self {
        // Nothing else is as short: two watermarks in full, four columns and four lists without entries.
        const EMPTY_FRAME: usize = 31;
        let process = format!(
            "(if (result i64) (i32.gt_u (local.get $len) (i32.const {EMPTY_FRAME})) (then {}) (else (i64.const {})))",
            self.process,
            (16u64 << 32) | 7
        );
        Guest { process, ..self }
    }

    /// The module as text.
    pub fn text(&self) -> String {
        let Guest { manifest, imports, memory, more, alloc, init, process } = self;
        let section = manifest.as_ref().map(|json| format!(r#"(@custom "sangam.manifest" "{}")"#, escaped(json.as_bytes())));
        format!(
            r#"(module
                {imports}
                {}
                {memory}
                (data (i32.const 16) "\96\90\90\90\90\80\90\00")
                (func (export "sangam_abi_v1"))
                {alloc}
                (func (export "sangam_init") (param $ptr i32) (param $len i32) (result i64) {init})
                (func $process (export "sangam_process") (param $ptr i32) (param $len i32) (result i64) {process})
                {more})"#,
            section.unwrap_or_default()
        )
    }

    /// The module, assembled.
    pub fn build(&self) -> anyhow::Result<Vec<u8>> {
        Ok(wat::parse_str(self.text())?)
    }
}

/// Bytes as a string of WebAssembly text.
pub fn escaped(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("\\{byte:02x}")).collect()
}

/// The counting guest by hand, but it traps where a word comes again.
pub fn trapping_count() -> anyhow::Result<Vec<u8>> {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/guests/count.wat"))?;
    let times = "(local.set $times (call $bin))";
    anyhow::ensure!(text.contains(times), "the guest has changed");
    Ok(wat::parse_str(text.replacen(times, &format!("{times} (if (local.get $times) (then (unreachable)))"), 1))?)
}
