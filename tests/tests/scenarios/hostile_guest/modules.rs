//! Modules that are not loaded: files that are none, manifests that lie, imports from elsewhere, proposals that are off.

use sangam_tests::guest::{Guest, MANIFEST};

use super::Ends::{AtLoad, Well};
use super::{Case, case};

pub fn cases() -> Vec<Case> {
    let raw = |what, wasm: &[u8], ends| Case { what, wasm: wasm.to_vec(), ends };
    let manifest = |what, json: &str, error| case(what, Guest { manifest: Some(json.into()), ..Guest::default() }, AtLoad(error));
    let change = |what, from: &str, to: &str, error| {
        let json = MANIFEST.replace(from, to);
        assert_ne!(json, MANIFEST, "{what}");
        manifest(what, &json, error)
    };
    let imports = |what, imports: &str, error| case(what, Guest { imports: imports.into(), ..Guest::default() }, AtLoad(error));
    let more = |what, more: &str, error| case(what, Guest { more: more.into(), ..Guest::default() }, AtLoad(error));
    let memory = |what, memory: &str, error| case(what, Guest { memory: memory.into(), ..Guest::default() }, AtLoad(error));
    let alloc = |what, alloc: &str, error| case(what, Guest { alloc: alloc.into(), ..Guest::default() }, AtLoad(error));
    // Changes to the template's text, for what it always writes.
    let edit = |what, from: &str, to: &str, error| {
        let text = Guest::default().text();
        assert!(text.contains(from), "{what}");
        Case { what, wasm: wat::parse_str(text.replace(from, to)).unwrap(), ends: AtLoad(error) }
    };
    let good = Guest::default().build().unwrap();
    let huge_section = format!(r#"(@custom "junk" "{}")"#, "x".repeat(5 << 20));
    let fitting_section = format!(r#"(@custom "junk" "{}")"#, "x".repeat(2 << 20));
    vec![
        raw("an empty file", b"", AtLoad("the file is empty")),
        raw("a script", b"#!/bin/sh\nrm -rf /\n", AtLoad("does not begin like one")),
        raw("a component", b"\0asm\x0d\0\x01\0", AtLoad("it is a component; build a core module")),
        raw("half a file", &good[..good.len() / 2], AtLoad("not a module that this host takes")),
        raw("a file without its last byte", &good[..good.len() - 1], AtLoad("not a module that this host takes")),
        raw("bytes after a good module", &[&good[..], b"\xff\xff\xff"].concat(), AtLoad("not a module that this host takes")),
        more("a custom section larger than the limit on files", &huge_section, "at most 4194304 allowed"),
        case("a large custom section that no one reads", Guest { more: fitting_section, ..Guest::default() }, Well),
        // manifests
        case("no manifest", Guest { manifest: None, ..Guest::default() }, AtLoad("is there an `#[operator]` in it")),
        more("two manifests", r#"(@custom "sangam.manifest" "{}")"#, "there are 2 custom sections `sangam.manifest`"),
        manifest("garbage for a manifest", "\0\u{1b}[2J\u{7f}", "not the JSON that it should be"),
        manifest("a manifest nested without end", &"[".repeat(200_000), "not the JSON that it should be"),
        manifest("a manifest of two megabytes", &" ".repeat(2 << 20), "at most 1048576 allowed"),
        change("a manifest for another ABI", r#""abi":1"#, r#""abi":99"#, "it was built for ABI 99, this host speaks ABI 1"),
        change("a stateless operator with a key", "keyed", "stateless", "it is stateless but names a key"),
        change("a kind that there is not", "keyed", "kyed", "unknown variant `kyed`"),
        change(
            "no inputs",
            r#""inputs":[{"name":"in","types":[{"name":"Word","fields":[{"path":"text"}]}]}]"#,
            r#""inputs":[]"#,
            "it names no input",
        ),
        change("a field that the manifest does not have", r#""abi":1"#, r#""abi":1,"root":true"#, "unknown field `root`"),
        change("the same port twice", r#"["out"]"#, r#"["out","out"]"#, "the output port `out` is there twice"),
        change("a name that drives the terminal", r#""guest""#, r#""a\u001b[2J""#, "a slash or a control character"),
        change("a name that climbs out of a folder", r#""guest""#, r#""../../etc/passwd""#, "a slash or a control character"),
        // imports
        imports("an unknown import", r#"(import "env" "system" (func (param i32)))"#, "import `env.system` is not offered"),
        imports("a way to write state", r#"(import "sangam" "state_set" (func (param i32)))"#, "import `sangam.state_set` is not offered"),
        imports("a browser", r#"(import "__wbindgen_placeholder__" "now" (func))"#, "it was built for a browser"),
        imports(
            "an import of the wrong type",
            r#"(import "sangam" "log" (func (param i64)))"#,
            "is (i64) -> (), but the host offers (i32, i32, i32) -> ()",
        ),
        imports("a global for a function", r#"(import "sangam" "log" (global i32))"#, "is global, but the host offers"),
        imports(
            "a WASI function of the wrong type",
            r#"(import "wasi_snapshot_preview1" "random_get" (func (result i32)))"#,
            "the host offers (i32, i32) -> i32",
        ),
        imports("a WASI memory", r#"(import "wasi_snapshot_preview1" "memory" (table 1 funcref))"#, "is not offered"),
        case(
            "memory from outside",
            Guest { imports: r#"(import "env" "memory" (memory 1))"#.into(), memory: String::new(), ..Guest::default() },
            AtLoad("a guest defines its memory itself"),
        ),
        // exports
        edit(
            "no function to process with",
            r#"(export "sangam_process")"#,
            "",
            "export `sangam_process` is missing; was it built with sangam-sdk as a cdylib?",
        ),
        edit("no memory", r#"(export "memory")"#, "", "export `memory` is missing"),
        edit("no mark of the ABI", "sangam_abi_v1", "sangam_abi_v2", "export `sangam_abi_v1` is missing; it marks ABI 1"),
        alloc(
            "an export of the wrong type",
            r#"(func (export "sangam_alloc") (param i64) (result i32) (i32.const 0))"#,
            "is (i64) -> i32, but the ABI asks for (i32) -> i32",
        ),
        alloc(
            "a global for an export",
            r#"(global (export "sangam_alloc") i32 (i32.const 0))"#,
            "is global, but the ABI asks for (i32) -> i32",
        ),
        more("a command", r#"(func (export "_start"))"#, "it is a command (it exports `_start`)"),
        more("an `_initialize` that wants arguments", r#"(func (export "_initialize") (param i32))"#, "the ABI asks for () -> ()"),
        // proposals that are off
        more("two memories", "(memory 1)", "not a module that this host takes: multiple memories"),
        memory("shared memory", r#"(memory (export "memory") 1 1 shared)"#, "threads must be enabled for shared memories"),
        case(
            "plain SIMD, which is welcome",
            Guest { more: "(func (param v128) (result v128) (i32x4.abs (local.get 0)))".into(), ..Guest::default() },
            Well,
        ),
        more(
            "relaxed SIMD",
            "(func (param v128) (result v128) (i32x4.relaxed_trunc_f32x4_s (local.get 0)))",
            "relaxed SIMD support is not enabled",
        ),
        more("exceptions", "(tag)", "exceptions"),
        // declared sizes
        memory(
            "four gigabytes of memory to begin with",
            r#"(memory (export "memory") 65536)"#,
            "it declares 4294967296 bytes of memory at least",
        ),
        more("a table of four billion entries", "(table 4294967295 funcref)", "table entries at least, at most 20000 allowed"),
    ]
}
