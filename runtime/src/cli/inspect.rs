//! `sangam inspect`: what a module says about itself, for people or as JSON.
//!
//! It prints what it is given; reading the module is the sandbox's business.

use crate::digest::short;
use std::fmt::Write as _;
use std::io::{self, Write};
use std::path::PathBuf;

use sangam_protocol::manifest::{EventType, Kind, Manifest};
use serde::Serialize;

use super::build::size;
use crate::sandbox;
use anyhow::Context as _;

/// Show what a .wasm file says about itself.
#[derive(Clone, Debug, clap::Args)]
pub struct Inspect {
    /// The file.
    pub file: PathBuf,
    /// As JSON.
    #[arg(long)]
    pub json: bool,
}

/// Runs the command.
pub fn run(command: &Inspect, out: &mut dyn Write) -> anyhow::Result<()> {
    let file = command.file.display().to_string();
    let bytes = std::fs::read(&command.file).with_context(|| format!("{file} cannot be read"))?;
    let found = sandbox::inspect(&bytes).with_context(|| file.clone())?;
    let view = InspectView {
        file,
        bytes: found.bytes as u64,
        code_bytes: found.code_bytes as u64,
        sha256: found.sha256,
        memory_bytes_min: found.memory_bytes_min,
        memory_bytes_max: found.memory_bytes_max,
        manifest: found.manifest,
        imports: found
            .imports
            .into_iter()
            .map(|import| Symbol { name: format!("{}.{}", import.module, import.name), kind: import.kind })
            .collect(),
        exports: found.exports.into_iter().map(|export| Symbol { name: export.name, kind: export.kind }).collect(),
    };
    Ok(print(&view, command.json, out)?)
}

/// What is shown of a module.
#[derive(Clone, Debug, Serialize)]
pub struct InspectView {
    /// The file, as it was given.
    pub file: String,
    /// Size of the file.
    pub bytes: u64,
    /// Bytes of code in it.
    pub code_bytes: u64,
    /// SHA-256 of the file, in hexadecimal.
    pub sha256: String,
    /// Bytes of linear memory that it starts with.
    pub memory_bytes_min: u64,
    /// Bytes of linear memory that it never goes beyond, where it says so.
    pub memory_bytes_max: Option<u64>,
    /// Its manifest.
    pub manifest: Manifest,
    /// What it imports.
    pub imports: Vec<Symbol>,
    /// What it exports.
    pub exports: Vec<Symbol>,
}

/// An import or an export.
#[derive(Clone, Debug, Serialize)]
pub struct Symbol {
    /// Its name; for an import with its module, `sangam.log`.
    pub name: String,
    /// Its type in words: `(i32, i32) -> i64`, `memory`.
    #[serde(rename = "type")]
    pub kind: String,
}

/// Prints it.
pub fn print(view: &InspectView, json: bool, out: &mut dyn Write) -> io::Result<()> {
    if json {
        serde_json::to_writer_pretty(&mut *out, view)?;
        return writeln!(out);
    }
    let manifest = &view.manifest;
    let kind = if manifest.kind == Kind::Keyed { "keyed" } else { "stateless" };
    writeln!(out, "{} {}, {kind}, ABI {}", clean(&manifest.name), clean(&manifest.version), manifest.abi)?;
    for (label, lines) in sections(view) {
        for (i, line) in lines.iter().enumerate() {
            writeln!(out, "  {:<8} {}", if i == 0 { label } else { "" }, clean(line))?;
        }
    }
    Ok(())
}

/// Labels, each with its lines; one without lines is not shown.
fn sections(view: &InspectView) -> [(&'static str, Vec<String>); 9] {
    let manifest = &view.manifest;
    let short = short(&view.sha256);
    let most = view.memory_bytes_max.map_or("no limit of its own".to_owned(), |max| format!("at most {}", size(max)));
    let symbols = |symbols: &[Symbol]| symbols.iter().map(|symbol| format!("{} {}", symbol.name, symbol.kind)).collect();
    let key = if !manifest.keys.is_empty() {
        manifest.keys.iter().map(|(input, paths)| format!("{input}: {}", paths.join(", "))).collect()
    } else if manifest.key.is_empty() {
        let said_elsewhere = manifest.kind == Kind::Keyed;
        Vec::from_iter(said_elsewhere.then(|| "named by the pipeline".to_owned()))
    } else {
        vec![manifest.key.join(", ")]
    };
    let config = manifest.config.iter().map(|field| {
        let required = if field.required { ", required" } else { "" };
        format!("{}: {}{required}", field.name, field.kind)
    });
    let state = manifest.state.iter().map(|state| {
        let fields: Vec<_> = state.fields.iter().map(|field| format!("{}: {}", field.name, field.kind)).collect();
        format!("{}, schema {} {}", state.name, state.version, braces(&fields))
    });
    [
        ("file", vec![format!("{}, {}, {} of it code, sha256 {short}", view.file, size(view.bytes), size(view.code_bytes))]),
        ("memory", vec![format!("{} at the start, {most}", size(view.memory_bytes_min))]),
        ("key", key),
        ("inputs", inputs(manifest)),
        ("ports", manifest.outputs.clone()),
        ("config", config.collect()),
        ("state", state.collect()),
        ("imports", symbols(&view.imports)),
        ("exports", symbols(&view.exports)),
    ]
}

/// One line per event type.
fn inputs(manifest: &Manifest) -> Vec<String> {
    let mut lines = Vec::new();
    for input in &manifest.inputs {
        let tag = input.tag.as_ref().map_or(String::new(), |tag| format!(" by `{tag}`"));
        let tag = if input.broadcast { format!(" (broadcast){tag}") } else { tag };
        if input.dynamic {
            lines.push(format!("{}: fields that follow from the configuration", input.name));
        } else if input.types.is_empty() {
            lines.push(format!("{}: every value as it is", input.name));
        }
        lines.extend(input.types.iter().map(|event| format!("{}{tag}: {}", input.name, event_type(event))));
    }
    lines
}

fn event_type(event: &EventType) -> String {
    let fields: Vec<_> = event.fields.iter().map(|f| format!("{}{}: {}", f.path, if f.optional { "?" } else { "" }, f.kind)).collect();
    format!("{} {}", event.name, braces(&fields))
}

fn braces(fields: &[String]) -> String {
    if fields.is_empty() { "{}".to_owned() } else { format!("{{ {} }}", fields.join(", ")) }
}

/// A module's own words must not steer the terminal: control characters are shown, not sent.
fn clean(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() {
            let _ = write!(out, "{}", c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(manifest: &str) -> InspectView {
        InspectView {
            file: "plugins/count.wasm".into(),
            bytes: 18_739,
            code_bytes: 12_288,
            sha256: "0123456789abcdef".repeat(4),
            memory_bytes_min: 1 << 20,
            memory_bytes_max: None,
            manifest: serde_json::from_str(manifest).unwrap(),
            imports: vec![Symbol { name: "sangam.log".into(), kind: "(i32, i32, i32)".into() }],
            exports: vec![
                Symbol { name: "memory".into(), kind: "memory".into() },
                Symbol { name: "sangam_process".into(), kind: "(i32, i32) -> i64".into() },
            ],
        }
    }

    #[track_caller]
    fn check(manifest: &str, expected: &str) {
        let mut out = Vec::new();
        print(&view(manifest), false, &mut out).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn a_keyed_operator_shows_its_key_and_its_state() {
        check(
            r#"{"abi":1,"name":"count","version":"0.1.0","kind":"keyed","key":["text"],
                "inputs":[{"name":"in","types":[{"name":"Word","fields":[{"path":"text","type":"str"},{"path":"by.user","type":"u64","optional":true}]}]}],
                "outputs":["out"],"config":[{"name":"max","type":"f64","required":true},{"name":"note","type":"str"}],
                "state":{"name":"Seen","version":1,"fields":[{"name":"count","type":"u64"}]}}"#,
            "\
count 0.1.0, keyed, ABI 1
  file     plugins/count.wasm, 18.3 KiB, 12.0 KiB of it code, sha256 0123456789ab
  memory   1.0 MiB at the start, no limit of its own
  key      text
  inputs   in: Word { text: str, by.user?: u64 }
  ports    out
  config   max: f64, required
           note: str
  state    Seen, schema 1 { count: u64 }
  imports  sangam.log (i32, i32, i32)
  exports  memory memory
           sangam_process (i32, i32) -> i64
",
        );
    }

    #[test]
    fn a_stateless_operator_shows_only_what_it_has() {
        check(
            r#"{"abi":1,"name":"pass","version":"1","kind":"stateless","inputs":[{"name":"raw"},
                {"name":"moves","tag":"kind","types":[{"name":"pay","fields":[]}]},{"name":"free","dynamic":true}]}"#,
            "\
pass 1, stateless, ABI 1
  file     plugins/count.wasm, 18.3 KiB, 12.0 KiB of it code, sha256 0123456789ab
  memory   1.0 MiB at the start, no limit of its own
  inputs   raw: every value as it is
           moves by `kind`: pay {}
           free: fields that follow from the configuration
  imports  sangam.log (i32, i32, i32)
  exports  memory memory
           sangam_process (i32, i32) -> i64
",
        );
    }

    #[test]
    fn a_name_cannot_steer_the_terminal() {
        let mut out = Vec::new();
        let manifest = r#"{"abi":1,"name":"\u001b[2J","version":"1\n2","kind":"keyed","key":["a\u009bb"],"inputs":[{"name":"\u0007"}]}"#;
        print(&view(manifest), false, &mut out).unwrap();
        let shown = String::from_utf8(out).unwrap();
        assert!(shown.starts_with("\\u{1b}[2J 1\\n2, keyed"), "{shown}");
        assert!(!shown.chars().any(|c| c.is_control() && c != '\n'), "{shown}");
    }

    #[test]
    fn programs_get_it_as_json() {
        let mut out = Vec::new();
        let manifest = r#"{"abi":1,"name":"n","version":"1","kind":"stateless","inputs":[{"name":"in"}]}"#;
        print(&view(manifest), true, &mut out).unwrap();
        let json: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(json["manifest"]["name"], "n");
        assert_eq!(json["imports"][0]["type"], "(i32, i32, i32)");
        assert_eq!(json["memory_bytes_min"], 1 << 20);
    }
}
