//! Finds a compiler that can make wasm: the one in use with its wasm target, else one that can build the standard library itself.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The target of every plugin.
pub const TARGET: &str = "wasm32-unknown-unknown";

/// How Cargo has to be called.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Toolchain {
    /// Another compiler than the one that Cargo would take.
    rustc: Option<PathBuf>,
    /// A linker, where the compiler does not bring its own.
    linker: Option<PathBuf>,
    /// The compiler has the standard library as source only.
    build_std: bool,
}

/// No compiler on this machine can make wasm.
#[derive(Debug)]
pub struct NoToolchain;

/// A compiler, and what stands beside it.
struct Candidate {
    /// `None`: the one that Cargo takes by itself.
    rustc: Option<PathBuf>,
    sysroot: PathBuf,
}

/// Finds one. `dir` is where Cargo will run, since a `rust-toolchain.toml` there decides on the compiler. May ask rustup to fetch the target.
pub fn find(dir: &Path) -> Result<Toolchain, NoToolchain> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let mut candidates = Vec::new();
    if let Some(sysroot) = sysroot(Path::new(&rustc), dir) {
        let ours = Candidate { rustc: None, sysroot };
        if ours.has_std() || (rustup_adds_target(dir) && ours.has_std()) {
            return Ok(Toolchain::default());
        }
        candidates.push(ours);
    }
    // Distributions put a compiler of their own here, some with wasm (Debian: rustc-web, rust-web-src).
    let distribution = PathBuf::from("/usr/bin/rustc");
    if let Some(sysroot) = sysroot(&distribution, dir) {
        candidates.push(Candidate { rustc: Some(distribution), sysroot });
    }
    choose(&candidates, linker_in_path()).ok_or(NoToolchain)
}

// === impl Toolchain ===

impl Toolchain {
    /// Adds to a call of `cargo build` what this compiler needs.
    pub fn apply(&self, cargo: &mut Command) {
        if let Some(rustc) = &self.rustc {
            cargo.env("RUSTC", rustc);
        }
        if let Some(linker) = &self.linker {
            cargo.env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker);
        }
        if self.build_std {
            // Building the standard library is an unstable flag of Cargo; this lets a stable compiler take it.
            cargo.env("RUSTC_BOOTSTRAP", "1").arg("-Zbuild-std=std,panic_abort");
        }
    }
}

impl Candidate {
    fn has_std(&self) -> bool {
        self.sysroot.join("lib/rustlib").join(TARGET).join("lib").is_dir()
    }

    fn has_std_source(&self) -> bool {
        self.sysroot.join("lib/rustlib/src/rust/library/std").is_dir()
    }

    /// The linker that comes with the compiler: `lib/rustlib/HOST/bin/rust-lld`.
    fn linker(&self) -> Option<PathBuf> {
        let hosts = std::fs::read_dir(self.sysroot.join("lib/rustlib")).ok()?;
        hosts.flatten().map(|host| host.path().join("bin/rust-lld")).find(|linker| linker.is_file())
    }
}

impl fmt::Display for NoToolchain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "no compiler here can make {TARGET}. Any one of these helps:")?;
        writeln!(f, "  with rustup:       rustup target add {TARGET}")?;
        writeln!(f, "  or from source:    rustup component add rust-src")?;
        write!(f, "  on Debian, Ubuntu: apt-get install rustc-web rust-web-src lld")
    }
}

impl std::error::Error for NoToolchain {}

/// Prefers a ready standard library of any compiler to building one. A linker of a compiler serves the others as well.
fn choose(candidates: &[Candidate], in_path: Option<PathBuf>) -> Option<Toolchain> {
    let linker = candidates.iter().find_map(Candidate::linker).or(in_path);
    if let Some(ready) = candidates.iter().find(|candidate| candidate.has_std()) {
        return Some(Toolchain { rustc: ready.rustc.clone(), linker, build_std: false });
    }
    // The compiler's default linker is `rust-lld` by name, which is not there unless it was found.
    let source = candidates.iter().find(|candidate| candidate.has_std_source())?;
    Some(Toolchain { rustc: source.rustc.clone(), linker: Some(linker?), build_std: true })
}

fn sysroot(rustc: &Path, dir: &Path) -> Option<PathBuf> {
    let output = Command::new(rustc).args(["--print", "sysroot"]).current_dir(dir).stderr(Stdio::null()).output().ok()?;
    let path = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| PathBuf::from(path.trim()))
}

fn rustup_adds_target(dir: &Path) -> bool {
    // Its progress goes to the terminal: it may take a while.
    let status = Command::new("rustup").args(["target", "add", TARGET]).current_dir(dir).stdout(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

fn linker_in_path() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let named = |name: &str| {
        name == "rust-lld" || name == "wasm-ld" || name.strip_prefix("wasm-ld-").is_some_and(|version| version.parse::<u32>().is_ok())
    };
    let files = std::env::split_paths(&path).filter_map(|folder| std::fs::read_dir(folder).ok()).flatten().flatten();
    files.map(|file| file.path()).find(|file| file.file_name().and_then(|name| name.to_str()).is_some_and(named))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A compiler with those folders and files below its sysroot.
    fn candidate(home: &Path, name: &str, has: &[&str]) -> Candidate {
        let sysroot = home.join(name);
        for path in has {
            let path = sysroot.join("lib/rustlib").join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            if path.ends_with("rust-lld") { std::fs::write(path, "").unwrap() } else { std::fs::create_dir(path).unwrap() }
        }
        Candidate { rustc: (name != "ours").then(|| PathBuf::from(name)), sysroot }
    }

    const STD: &str = "wasm32-unknown-unknown/lib";
    const SOURCE: &str = "src/rust/library/std";
    const LINKER: &str = "x86_64-unknown-linux-gnu/bin/rust-lld";

    /// Checks the choice: which compiler, whether it builds the standard library, whose linker it takes.
    #[track_caller]
    fn check(ours: &[&str], theirs: &[&str], in_path: Option<&str>, expected: Option<(&str, bool, Option<&str>)>) {
        let home = tempfile::tempdir().unwrap();
        let candidates = [candidate(home.path(), "ours", ours), candidate(home.path(), "theirs", theirs)];
        let chosen = choose(&candidates, in_path.map(PathBuf::from)).map(|chosen| {
            let rustc = chosen.rustc.map_or("ours".to_owned(), |rustc| rustc.display().to_string());
            let linker = chosen.linker.map(|linker| match linker.strip_prefix(home.path()) {
                Ok(below) => below.components().next().unwrap().as_os_str().to_str().unwrap().to_owned(),
                Err(_) => linker.display().to_string(),
            });
            (rustc, chosen.build_std, linker)
        });
        let expected = expected.map(|(rustc, build_std, linker)| (rustc.to_owned(), build_std, linker.map(str::to_owned)));
        assert_eq!(chosen, expected);
    }

    #[test]
    fn a_ready_target_is_preferred_to_building_one() {
        check(&[LINKER, SOURCE], &[STD], None, Some(("theirs", false, Some("ours"))));
        check(&[LINKER], &[SOURCE], None, Some(("theirs", true, Some("ours"))));
        check(&[LINKER, SOURCE], &[], None, Some(("ours", true, Some("ours"))));
        check(&[], &[SOURCE], Some("/bin/wasm-ld-19"), Some(("theirs", true, Some("/bin/wasm-ld-19"))));
    }

    #[test]
    fn without_a_target_or_a_linker_there_is_nothing_to_build_with() {
        check(&[LINKER], &[], Some("/bin/wasm-ld"), None);
        check(&[SOURCE], &[SOURCE], None, None);
        assert!(NoToolchain.to_string().contains("rustup target add wasm32-unknown-unknown"));
    }

    #[test]
    fn cargo_is_told_what_the_compiler_needs() {
        let mut cargo = Command::new("cargo");
        let toolchain = Toolchain { rustc: Some("/usr/bin/rustc".into()), linker: Some("/bin/wasm-ld".into()), build_std: true };
        toolchain.apply(&mut cargo);
        let env: Vec<_> = cargo.get_envs().map(|(name, value)| (name.to_str().unwrap(), value.unwrap().to_str().unwrap())).collect();
        let expected =
            [("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", "/bin/wasm-ld"), ("RUSTC", "/usr/bin/rustc"), ("RUSTC_BOOTSTRAP", "1")];
        assert_eq!(env, expected);
        assert!(cargo.get_args().eq(["-Zbuild-std=std,panic_abort"]));
    }
}
