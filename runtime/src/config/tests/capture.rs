//! Where failing calls are kept: for the pipeline, for one operator, or nowhere.

use super::*;

fn captures(top: &str, operator: &str) -> Option<Capture> {
    let text = format!("{top}\n[streams.in]\n[operators.o]\ninput = \"in\"\n{operator}");
    Pipeline::parse(&text, "some/p.toml", &|_| None).unwrap().operators[0].capture.clone()
}

#[test]
fn an_operators_own_word_counts_before_the_pipelines() {
    let usual = Capture { folder: "some/captures".into(), files: 100, bytes: 256 << 20 };
    assert_eq!(captures("", ""), None);
    assert_eq!(captures("capture = \"captures\"", ""), Some(usual.clone()));
    assert_eq!(captures("", "capture = \"captures\""), Some(usual.clone()));
    assert_eq!(captures("capture = \"captures\"", "capture = \"off\""), None);
    assert_eq!(captures("capture = \"off\"", ""), None);
    let own = "capture = { folder = \"/var/own\", files = 3, bytes = \"1MiB\" }";
    assert_eq!(captures("capture = \"captures\"", own), Some(Capture { folder: "/var/own".into(), files: 3, bytes: 1 << 20 }));
    assert_eq!(captures("[capture]\nfolder = \"captures\"\nfiles = 7", ""), Some(Capture { files: 7, ..usual }));
}

#[test]
fn a_slip_in_it_is_shown_where_it_is() {
    let check = |capture: &str, kind: Kind, line: &str| {
        let errors = parse(&format!("{capture}\n[streams.in]\n[operators.o]\ninput = \"in\"")).unwrap_err().errors;
        let found: Vec<_> = errors.iter().map(|error| (error.kind, error.headline())).collect();
        assert_eq!(found, [(kind, format!("p.toml:{line}"))]);
    };
    check("capture = 5", Kind::WrongType, "1:11: `capture`: expected a string, found an integer");
    check(
        "capture = { files = 5 }",
        Kind::MissingKey,
        "1:1: this names no folder; write `capture = { folder = \"captures\", files = 20 }`",
    );
    check("capture = { folder = \"c\", files = 0 }", Kind::OutOfRange, "1:35: `files` must be from 1 to 1000000000, found 0");
    check("capture = { folder = \"c\", file = 3 }", Kind::UnknownKey, "1:27: unknown key `file` in `[capture]`; did you mean `files`?");
}
