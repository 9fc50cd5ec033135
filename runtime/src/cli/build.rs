//! `sangam build`: Cargo underneath, and the result put where a pipeline finds it, whole or not at all.

mod toolchain;

use crate::digest::{sha256, short};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};

use crate::config::Pipeline;
use toolchain::TARGET;

/// Compiles a plugin and puts it into the folder of plugins.
#[derive(Clone, Debug, clap::Args)]
pub struct Build {
    /// The folder of the plugin.
    #[arg(value_name = "DIR", default_value = ".")]
    pub dir: PathBuf,
    /// The folder to put it into; by default that of the nearest pipeline.toml.
    #[arg(long, value_name = "FOLDER")]
    pub plugins: Option<PathBuf>,
}

/// A module that Cargo has made.
#[derive(Debug, PartialEq, Eq)]
struct Artifact {
    /// The manifest of its package.
    manifest: PathBuf,
    /// The module.
    wasm: PathBuf,
}

/// Builds, copies, and says what is where.
pub fn run(build: &Build, out: &mut dyn Write) -> anyhow::Result<()> {
    let dir = build.dir.canonicalize().with_context(|| format!("cannot open {}", build.dir.display()))?;
    if !dir.join("Cargo.toml").is_file() {
        bail!("{} has no Cargo.toml; go to the folder of a plugin, or make one with `sangam new NAME`", build.dir.display());
    }
    let artifacts = compile(&dir)?;
    if artifacts.is_empty() {
        bail!("{} makes no wasm module; add `crate-type = [\"cdylib\", \"rlib\"]` under `[lib]` of its Cargo.toml", build.dir.display());
    }
    let folder = build.plugins.clone().unwrap_or_else(|| plugins_of(&dir));
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    for artifact in artifacts {
        let (name, version) = package(&artifact.manifest)?;
        let bytes = fs::read(&artifact.wasm).with_context(|| format!("cannot read {}", artifact.wasm.display()))?;
        let path = folder.join(format!("{name}.wasm"));
        replace(&path, &bytes).with_context(|| format!("cannot write {}", path.display()))?;
        let (size, sha) = (size(bytes.len() as u64), sha256(&bytes));
        let sha = short(&sha);
        writeln!(out, "{name} {version}  {size}  sha256 {sha}  {}", path.display())?;
    }
    Ok(())
}

/// A size for people: `18.3 KiB`.
pub fn size(bytes: u64) -> String {
    match bytes {
        0..1_024 => format!("{bytes} B"),
        1_024..1_048_576 => format!("{:.1} KiB", bytes as f64 / 1024.0),
        _ => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
    }
}

/// Compiles the plugin in `dir` and leaves it where Cargo put it.
pub fn module(dir: &Path) -> anyhow::Result<PathBuf> {
    let dir = dir.canonicalize().with_context(|| format!("cannot open {}", dir.display()))?;
    match compile(&dir)?.as_slice() {
        [one] => Ok(one.wasm.clone()),
        [] => bail!("{} makes no wasm module", dir.display()),
        several => bail!("{} makes {} wasm modules; say which with --plugin", dir.display(), several.len()),
    }
}

fn compile(dir: &Path) -> anyhow::Result<Vec<Artifact>> {
    let toolchain = toolchain::find(dir)?;
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--release", "--lib", "--target", TARGET, "--message-format=json-render-diagnostics"]);
    toolchain.apply(&mut cargo);
    // Errors and progress go to the terminal as Cargo writes them; only its messages for programs are read.
    let mut child = cargo.current_dir(dir).stdout(Stdio::piped()).spawn().context("cannot start cargo; is Rust installed?")?;
    let messages = child.stdout.take().map(BufReader::new);
    let mut artifacts = Vec::new();
    for line in messages.into_iter().flat_map(BufRead::lines) {
        artifacts.extend(artifact(&line.context("cannot read what cargo says")?, dir));
    }
    let status = child.wait().context("cannot wait for cargo")?;
    if !status.success() {
        bail!("cargo could not build {}", dir.display());
    }
    Ok(artifacts)
}

/// The module that one of Cargo's messages tells of, if its package is in `dir`: a dependency may make one as well.
fn artifact(message: &str, dir: &Path) -> Option<Artifact> {
    let message: serde_json::Value = serde_json::from_str(message).ok()?;
    if message.get("reason")?.as_str()? != "compiler-artifact" {
        return None;
    }
    let manifest = PathBuf::from(message.get("manifest_path")?.as_str()?);
    let wasm = message.get("filenames")?.as_array()?.iter().filter_map(|file| file.as_str()).find(|file| file.ends_with(".wasm"))?;
    manifest.starts_with(dir).then(|| Artifact { wasm: wasm.into(), manifest })
}

/// Name and version of a package; the version may be the workspace's and is not looked for then.
fn package(manifest: &Path) -> anyhow::Result<(String, String)> {
    let text = fs::read_to_string(manifest).with_context(|| format!("cannot read {}", manifest.display()))?;
    let table: toml::Table = text.parse().with_context(|| format!("cannot read {}", manifest.display()))?;
    let field = |name: &str| table.get("package").and_then(|package| package.get(name)).and_then(|value| value.as_str());
    let name = field("name").with_context(|| format!("{} names no package", manifest.display()))?;
    Ok((name.to_owned(), field("version").unwrap_or("(the workspace's version)").to_owned()))
}

/// The folder of plugins of the nearest `pipeline.toml`, looked for upwards as far as the repository goes; else `plugins` right here.
fn plugins_of(dir: &Path) -> PathBuf {
    for folder in dir.ancestors() {
        let file = folder.join("pipeline.toml");
        if let Ok(text) = fs::read_to_string(&file) {
            let pipeline = Pipeline::parse(&text, &file.to_string_lossy(), &|name| std::env::var(name).ok());
            // A pipeline that is wrong somewhere has a folder all the same; `sangam validate` tells what is wrong.
            return pipeline.map_or_else(|_| folder.join("plugins"), |pipeline| pipeline.plugins);
        }
        if folder.join(".git").exists() {
            break;
        }
    }
    PathBuf::from("plugins")
}

/// Writes beside the file and renames: who watches the folder sees the old module or the new one, never a part of it.
fn replace(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let beside = path.with_file_name(format!(".{name}.{}.tmp", std::process::id()));
    let written = File::create(&beside).and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()));
    written.and_then(|()| fs::rename(&beside, path)).inspect_err(|_| drop(fs::remove_file(&beside)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_module_is_found_in_what_cargo_says() {
        let message = |reason: &str, manifest: &str, files: &str| {
            format!(r#"{{"reason":"{reason}","manifest_path":"{manifest}","target":{{"name":"x"}},"filenames":[{files}]}}"#)
        };
        let found = |message: &str| artifact(message, Path::new("/w/count")).map(|artifact| artifact.wasm.display().to_string());
        let files = r#""/t/count.wasm","/t/libcount.rlib""#;
        assert_eq!(found(&message("compiler-artifact", "/w/count/Cargo.toml", files)), Some("/t/count.wasm".into()));
        assert_eq!(found(&message("compiler-artifact", "/w/count/Cargo.toml", r#""/t/libcount.rlib""#)), None);
        assert_eq!(found(&message("compiler-artifact", "/w/counters/Cargo.toml", files)), None, "another package");
        assert_eq!(found(&message("build-finished", "/w/count/Cargo.toml", files)), None);
        assert_eq!(found("Compiling count"), None);
    }

    #[test]
    fn the_nearest_pipeline_says_where_plugins_go() {
        let home = tempfile::tempdir().unwrap();
        let plugin = home.path().join("plugins-src/count");
        fs::create_dir_all(&plugin).unwrap();
        fs::create_dir(home.path().join(".git")).unwrap();
        assert_eq!(plugins_of(&plugin), Path::new("plugins"), "nothing above the repository counts");

        let pipeline = "plugins = \"ops\"\n[streams.a]\n[operators.o]\ninput = \"a\"";
        fs::write(home.path().join("pipeline.toml"), pipeline).unwrap();
        assert_eq!(plugins_of(&plugin), home.path().join("ops"));

        fs::write(plugin.join("pipeline.toml"), "not even toml").unwrap();
        assert_eq!(plugins_of(&plugin), plugin.join("plugins"));
    }

    #[test]
    fn a_module_is_replaced_as_a_whole_and_nothing_else_is_left() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("count.wasm");
        replace(&path, b"old").unwrap();
        replace(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 1);

        fs::create_dir(home.path().join("folder.wasm")).unwrap();
        assert!(replace(&home.path().join("folder.wasm"), b"x").is_err());
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 2, "the half-written file is gone");
    }

    #[test]
    fn a_folder_without_a_package_is_refused_with_what_to_do() {
        let home = tempfile::tempdir().unwrap();
        let build = Build { dir: home.path().into(), plugins: None };
        let error = run(&build, &mut Vec::new()).unwrap_err().to_string();
        assert!(error.ends_with("has no Cargo.toml; go to the folder of a plugin, or make one with `sangam new NAME`"), "{error}");
    }

    #[test]
    fn sizes_are_for_people() {
        assert_eq!([size(5), size(18_739), size(3 << 20)], ["5 B", "18.3 KiB", "3.0 MiB"]);
    }
}
