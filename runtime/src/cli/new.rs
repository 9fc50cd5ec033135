//! `sangam new`: the folder of a plugin that builds, passes its tests and runs, to be changed into one's own.
//!
//! Everything is inside the program; nothing is fetched.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

/// Makes a new plugin: an operator that counts words, its tests, fixtures and a pipeline.
#[derive(Clone, Debug, clap::Args)]
pub struct New {
    /// The folder to make; its last part is the plugin's name.
    #[arg(value_name = "NAME")]
    pub folder: PathBuf,
}

const FILES: [(&str, &str); 7] = [
    ("Cargo.toml", include_str!("templates/Cargo.toml.tmpl")),
    ("src/lib.rs", include_str!("templates/lib.rs.tmpl")),
    ("pipeline.toml", include_str!("templates/pipeline.toml.tmpl")),
    ("fixtures/input.jsonl", include_str!("templates/input.jsonl.tmpl")),
    ("fixtures/expected.jsonl", include_str!("templates/expected.jsonl.tmpl")),
    ("README.md", include_str!("templates/README.md.tmpl")),
    (".gitignore", include_str!("templates/gitignore.tmpl")),
];

/// Makes the folder and says what to do next.
pub fn run(new: &New, out: &mut dyn Write) -> anyhow::Result<()> {
    let name = new.folder.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    check_name(name)?;
    write_files(&new.folder, name, &sdk_dependency(&source_tree()))?;
    let folder = new.folder.display();
    writeln!(out, "made {folder}: an operator that counts words\n")?;
    writeln!(out, "    cd {folder}")?;
    writeln!(out, "    cargo test")?;
    writeln!(out, "    sangam build")?;
    writeln!(out, "    sangam run pipeline.toml")?;
    Ok(())
}

/// Words that Cargo or Rust keep for themselves, as the name of a library.
const TAKEN: [&str; 12] =
    ["test", "core", "std", "alloc", "proc-macro", "sangam-sdk", "sangam", "build", "deps", "examples", "incremental", "self"];

/// The longest name; a topic, a file and a crate can all have it.
const NAME_BYTES_MAX: usize = 64;

fn check_name(name: &str) -> anyhow::Result<()> {
    let help = "a plugin's name has small letters, digits, `-` and `_`, and begins with a letter: `fraud-rules`";
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_');
    if !name.starts_with(|c: char| c.is_ascii_lowercase()) || !name.chars().all(allowed) {
        bail!("`{name}` cannot be the name of a plugin; {help}");
    }
    if name.len() > NAME_BYTES_MAX {
        bail!("the name has {} characters, {NAME_BYTES_MAX} is the most", name.len());
    }
    if TAKEN.contains(&name.replace('_', "-").as_str()) || is_keyword(name) {
        bail!("`{name}` means something to Rust or Cargo already; choose another name");
    }
    Ok(())
}

fn is_keyword(name: &str) -> bool {
    const KEYWORDS: &str = "as async await box break const continue crate do dyn else enum extern false final fn for gen if impl in let \
        loop macro match mod move mut override priv pub ref return static struct super trait true try type typeof unsafe unsized use \
        virtual where while yield abstract become";
    KEYWORDS.split_whitespace().any(|keyword| keyword == name)
}

/// Where this program's sources were when it was built.
fn source_tree() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../sdk")
}

/// The SDK beside this program's sources while those are there, else the release of the same version.
fn sdk_dependency(beside: &Path) -> String {
    match beside.canonicalize() {
        Ok(path) if path.join("Cargo.toml").is_file() => {
            format!("{{ path = {} }}", toml::Value::String(path.to_string_lossy().into_owned()))
        }
        _ => format!("{:?}", env!("CARGO_PKG_VERSION")),
    }
}

fn write_files(folder: &Path, name: &str, sdk: &str) -> anyhow::Result<()> {
    if let Some(parent) = folder.parent() {
        fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
    }
    // Not `create_dir_all`: what is there already must not be written over.
    if let Err(error) = fs::create_dir(folder) {
        match error.kind() {
            std::io::ErrorKind::AlreadyExists => bail!("{} is there already; choose another name, or remove it", folder.display()),
            _ => return Err(error).with_context(|| format!("cannot make {}", folder.display())),
        }
    }
    for (path, template) in FILES {
        let path = folder.join(path);
        let text = template.replace("{{name}}", name).replace("{{sdk}}", sdk);
        path.parent()
            .map_or(Ok(()), fs::create_dir_all)
            .and_then(|()| fs::write(&path, text))
            .with_context(|| path.display().to_string())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Pipeline;

    fn make(folder: PathBuf) -> anyhow::Result<String> {
        let mut out = Vec::new();
        run(&New { folder }, &mut out)?;
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn a_new_plugin_has_everything_and_no_placeholder_is_left() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("deep/word-count");
        let said = make(folder.clone()).unwrap();
        assert!(said.contains("sangam build"), "{said}");
        for (path, _) in FILES {
            let text = fs::read_to_string(folder.join(path)).unwrap();
            assert!(!text.contains("{{"), "{path}: {text}");
        }
        let manifest: toml::Table = fs::read_to_string(folder.join("Cargo.toml")).unwrap().parse().unwrap();
        assert_eq!(manifest["package"]["name"].as_str(), Some("word-count"));
        assert!(manifest["dependencies"]["sangam-sdk"]["path"].as_str().unwrap().ends_with("sdk"));
    }

    #[test]
    fn its_pipeline_is_one() {
        let text = include_str!("templates/pipeline.toml.tmpl").replace("{{name}}", "word-count");
        let pipeline = Pipeline::parse(&text, "pipeline.toml", &|_| None).unwrap();
        assert_eq!(pipeline.warnings, []);
        assert_eq!(pipeline.operators[0].plugin, "word-count");
    }

    #[test]
    fn a_program_without_its_sources_takes_the_released_sdk() {
        assert_eq!(sdk_dependency(Path::new("/nowhere/sdk")), format!("\"{}\"", env!("CARGO_PKG_VERSION")));
    }

    #[test]
    fn what_is_there_is_not_written_over() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("mine");
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("Cargo.toml"), "precious").unwrap();
        let error = make(folder.clone()).unwrap_err().to_string();
        assert!(error.ends_with("mine is there already; choose another name, or remove it"), "{error}");
        assert_eq!(fs::read_to_string(folder.join("Cargo.toml")).unwrap(), "precious");
        assert!(!folder.join("src").exists());
    }

    #[test]
    fn a_name_that_cargo_or_a_file_system_would_trip_over_is_refused() {
        let home = tempfile::tempdir().unwrap();
        for name in ["..", "1st", "-x", "two words", "Über", "Count", "a.b", "test", "fn", "std", "sangam_sdk", &"x".repeat(65)] {
            let error = make(home.path().join("sub").join(name)).map(|_| ());
            assert!(error.is_err(), "{name:?} was taken");
        }
        assert!(!home.path().join("sub").exists(), "nothing may be left behind");
    }
}
