//! Guests compiled from Rust, as `scripts/guests` leaves them, and builds of them that differ in nothing but their hash.

#![expect(clippy::panic, reason = "helpers of tests: the first surprise ends the test")]

use std::path::Path;

/// The guest `name`, compiled.
pub fn wasm(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/guests").join(format!("{name}.wasm"));
    std::fs::read(&path).unwrap_or_else(|why| {
        panic!("the guest `{name}` is not built ({}: {why}).\nBuild it, and all others, with:  scripts/guests", path.display())
    })
}

/// The same module as another build: a custom section that nobody reads makes its hash another.
pub fn rebuilt(wasm: &[u8], number: u32) -> Vec<u8> {
    let name = b"build";
    let content = 1 + name.len() + 4;
    let mut build = wasm.to_vec();
    build.extend([0, content as u8, name.len() as u8]);
    build.extend(name);
    build.extend(number.to_le_bytes());
    build
}
