//! What a module says about itself, read without compiling or running it; and every reason to refuse it that shows so early.
//!
//! [`crate::sandbox::Sandbox::load`] goes through here first, so what `inspect` accepts can only still fail in the compiler.

use crate::digest::sha256;
use std::collections::BTreeSet;

use sangam_protocol::manifest::Manifest;
use sangam_protocol::{IMPORT_MODULE, MANIFEST_SECTION, exports, imports};
use wasmparser::{CompositeInnerType, Parser, Payload, Validator, WasmFeatures, types::EntityType, types::TypesRef};

use super::error::LoadError;
use super::limits::TABLE_ENTRIES_MAX;
use super::{text, wasi};

/// The most bytes of the manifest. A large one of a real operator has some thousands.
const MANIFEST_BYTES_MAX: usize = 1 << 20;

/// Bytes of a page of linear memory.
const PAGE: u64 = 64 << 10;

/// What a module says about itself.
#[derive(Clone, Debug)]
pub struct Inspection {
    /// The manifest, checked.
    pub manifest: Manifest,
    /// SHA-256 of the whole file, in hexadecimal.
    pub sha256: String,
    /// Size of the file.
    pub bytes: usize,
    /// What it imports, in order.
    pub imports: Vec<Import>,
    /// What it exports, in order.
    pub exports: Vec<Export>,
    /// Bytes of linear memory that it starts with.
    pub memory_bytes_min: u64,
    /// Bytes of linear memory that it never goes beyond, where it says so.
    pub memory_bytes_max: Option<u64>,
    /// Entries that its tables start with, added up.
    pub table_entries_min: u64,
    /// Custom sections and their sizes, in order.
    pub custom_sections: Vec<(String, usize)>,
    /// Bytes of code.
    pub code_bytes: usize,
}

/// One import.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Import {
    /// The module that it is wanted from.
    pub module: String,
    /// Its name.
    pub name: String,
    /// Its type in words: `(i32, i32) -> i64`, `memory`.
    pub kind: String,
}

/// One export.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Export {
    /// Its name.
    pub name: String,
    /// Its type in words: `(i32, i32) -> i64`, `memory`.
    pub kind: String,
}

/// Reads a module and checks everything that can be checked without compiling it.
pub fn inspect(wasm: &[u8]) -> Result<Inspection, LoadError> {
    let (sections, types_of) = read(wasm)?;
    let manifest = manifest(&sections.manifests)?;
    let types = types_of.as_ref();
    let imports: Vec<Import> = types
        .core_imports()
        .into_iter()
        .flatten()
        .map(|(module, name, kind)| Import { module: module.into(), name: name.into(), kind: words(&types, kind) })
        .collect();
    let exports: Vec<Export> =
        types.core_exports().into_iter().flatten().map(|(name, kind)| Export { name: name.into(), kind: words(&types, kind) }).collect();
    for import in &imports {
        check_import(import)?;
    }
    check_exports(&exports)?;
    let memory = (types.memory_count() > 0).then(|| types.memory_at(0));
    let inspection = Inspection {
        manifest,
        sha256: sha256(wasm),
        bytes: wasm.len(),
        imports,
        exports,
        memory_bytes_min: memory.map_or(0, |memory| memory.initial.saturating_mul(PAGE)),
        memory_bytes_max: memory.and_then(|memory| memory.maximum).map(|pages| pages.saturating_mul(PAGE)),
        table_entries_min: (0..types.table_count()).map(|table| types.table_at(table).initial).fold(0, u64::saturating_add),
        custom_sections: sections.custom,
        code_bytes: sections.code_bytes,
    };
    if inspection.table_entries_min > TABLE_ENTRIES_MAX as u64 {
        let allowed = TABLE_ENTRIES_MAX as u64;
        return Err(LoadError::DeclaredTooMuch { what: "table entries", asked: inspection.table_entries_min, allowed });
    }
    Ok(inspection)
}

impl Inspection {
    /// Whether the module was built for WASI and gets the closed world of it.
    pub fn is_wasi(&self) -> bool {
        self.imports.iter().any(|import| import.module == wasi::MODULE)
    }

    /// Whether the module exports this name.
    pub fn has_export(&self, name: &str) -> bool {
        self.exports.iter().any(|export| export.name == name)
    }
}

// === reading ===

#[derive(Default)]
struct Sections<'a> {
    manifests: Vec<&'a [u8]>,
    custom: Vec<(String, usize)>,
    code_bytes: usize,
}

/// The proposals that guests may use. All are deterministic, and none lets one instance reach another.
fn features() -> WasmFeatures {
    WasmFeatures::MUTABLE_GLOBAL
        | WasmFeatures::SATURATING_FLOAT_TO_INT
        | WasmFeatures::SIGN_EXTENSION
        | WasmFeatures::REFERENCE_TYPES
        | WasmFeatures::MULTI_VALUE
        | WasmFeatures::BULK_MEMORY
        | WasmFeatures::SIMD
        | WasmFeatures::TAIL_CALL
        | WasmFeatures::FLOATS
        | WasmFeatures::EXTENDED_CONST
}

fn read(wasm: &[u8]) -> Result<(Sections<'_>, wasmparser::types::Types), LoadError> {
    let invalid = |e: wasmparser::BinaryReaderError| LoadError::Invalid(text::line(e.to_string().as_bytes(), 1 << 10));
    if !Parser::is_core_wasm(wasm) {
        return Err(LoadError::Invalid(match wasm {
            [] => "the file is empty".into(),
            _ if Parser::is_component(wasm) => "it is a component; build a core module (target `wasm32-unknown-unknown`)".into(),
            _ => "it does not begin like one (`\\0asm`, version 1)".into(),
        }));
    }
    let types = Validator::new_with_features(features()).validate_all(wasm).map_err(invalid)?;
    let mut sections = Sections::default();
    for payload in Parser::new(0).parse_all(wasm) {
        match payload.map_err(invalid)? {
            Payload::CustomSection(section) => {
                if section.name() == MANIFEST_SECTION {
                    sections.manifests.push(section.data());
                }
                sections.custom.push((text::line(section.name().as_bytes(), 256), section.data().len()));
            }
            Payload::CodeSectionStart { size, .. } => sections.code_bytes = size as usize,
            _ => {}
        }
    }
    Ok((sections, types))
}

fn manifest(sections: &[&[u8]]) -> Result<Manifest, LoadError> {
    let refuse = |why: String| Err(LoadError::Manifest(why));
    let json = match sections {
        [one] => *one,
        [] => {
            return refuse(format!(
                "there is no custom section `{MANIFEST_SECTION}`; is there an `#[operator]` in it, built with sangam-sdk as a cdylib?"
            ));
        }
        many => return refuse(format!("there are {} custom sections `{MANIFEST_SECTION}`; one module holds one operator", many.len())),
    };
    if json.len() > MANIFEST_BYTES_MAX {
        return refuse(format!("it has {} bytes, at most {MANIFEST_BYTES_MAX} allowed", json.len()));
    }
    let manifest: Manifest = serde_json::from_slice(json)
        .map_err(|e| LoadError::Manifest(text::line(format!("not the JSON that it should be: {e}").as_bytes(), 1 << 10)))?;
    manifest.check().map_err(|e| LoadError::Manifest(text::line(e.to_string().as_bytes(), 1 << 10)))?;
    // The name goes into logs, metrics and paths.
    if manifest.name.chars().any(|c| c.is_control() || c == '/' || c == '\\') {
        return refuse("its name contains a slash or a control character".into());
    }
    Ok(manifest)
}

// === checks ===

/// What the host offers in [`IMPORT_MODULE`].
const OFFERED: [(&str, &str); 3] = [
    (imports::LOG, "(i32, i32, i32) -> ()"),
    (imports::STATE_GET, "(i32, i32, i32, i32, i32) -> i64"),
    (imports::STATE_SCAN, "(i32, i32, i32, i32, i32, i32, i32) -> i64"),
];

fn check_import(import: &Import) -> Result<(), LoadError> {
    let path = || text::line(format!("{}.{}", import.module, import.name).as_bytes(), 256);
    let expected = match import.module.as_str() {
        IMPORT_MODULE => OFFERED.iter().find(|(name, _)| *name == import.name).map(|(_, kind)| *kind),
        wasi::MODULE => match wasi::expected_type(&import.name) {
            Some(kind) => Some(kind),
            // A function that we do not know is linked to say so, as long as there is an error number to say it with.
            None if import.kind.ends_with("-> i32") => return Ok(()),
            None => None,
        },
        _ => None,
    };
    let Some(expected) = expected else {
        return Err(LoadError::UnknownImport { import: path(), remedy: remedy(import) });
    };
    if import.kind != expected {
        return Err(LoadError::ImportType { import: path(), found: import.kind.clone(), expected });
    }
    Ok(())
}

fn remedy(import: &Import) -> &'static str {
    match import.module.as_str() {
        _ if import.kind == "memory" => "a guest defines its memory itself and exports it as `memory`",
        IMPORT_MODULE => {
            "this host is older than the module's SDK, or the name is misspelt; `log`, `state_get` and `state_scan` are offered"
        }
        module if module.starts_with("__wbindgen") => {
            "it was built for a browser: a dependency pulls in wasm-bindgen (often `getrandom`, `chrono` or `uuid`); turn its `js` or `wasmbind` feature off"
        }
        _ => {
            "a guest gets nothing but `sangam.log`, `sangam.state_get`, `sangam.state_scan` and a closed WASI world: drop the dependency that wants it"
        }
    }
}

fn check_exports(exported: &[Export]) -> Result<(), LoadError> {
    const BUILT_WITH_SDK: &str = "was it built with sangam-sdk as a cdylib?";
    let names: BTreeSet<&str> = exported.iter().map(|export| export.name.as_str()).collect();
    if names.contains("_start") {
        return Err(LoadError::Command);
    }
    let wanted = [
        (exports::MEMORY, "memory"),
        (exports::ALLOC, "(i32) -> i32"),
        (exports::INIT, "(i32, i32) -> i64"),
        (exports::PROCESS, "(i32, i32) -> i64"),
    ];
    for (name, expected) in wanted {
        let Some(found) = exported.iter().find(|export| export.name == name) else {
            return Err(LoadError::MissingExport { name, remedy: BUILT_WITH_SDK });
        };
        if found.kind != expected {
            return Err(LoadError::ExportType { name, found: found.kind.clone(), expected });
        }
    }
    if !names.contains(exports::ABI_MARKER) {
        return Err(LoadError::MissingExport {
            name: exports::ABI_MARKER,
            remedy: "it marks ABI 1, the one that this host speaks; rebuild it with a matching SDK",
        });
    }
    if let Some(reactor) = exported.iter().find(|export| export.name == wasi::INITIALIZE)
        && reactor.kind != "() -> ()"
    {
        return Err(LoadError::ExportType { name: wasi::INITIALIZE, found: reactor.kind.clone(), expected: "() -> ()" });
    }
    Ok(())
}

// === helpers ===

fn words(types: &TypesRef<'_>, kind: EntityType) -> String {
    match kind {
        EntityType::Func(id) | EntityType::FuncExact(id) => match types.get(id).map(|ty| &ty.composite_type.inner) {
            Some(CompositeInnerType::Func(func)) => {
                let list = |types: &[wasmparser::ValType]| types.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
                match func.results() {
                    [one] => format!("({}) -> {one}", list(func.params())),
                    results => format!("({}) -> ({})", list(func.params()), list(results)),
                }
            }
            _ => "a function".into(),
        },
        EntityType::Table(_) => "table".into(),
        EntityType::Memory(_) => "memory".into(),
        EntityType::Global(_) => "global".into(),
        EntityType::Tag(_) => "tag".into(),
    }
}
