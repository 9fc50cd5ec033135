//! Where savepoints are, and when they are taken by themselves.

use super::refused::check_top;
use super::*;

fn at(text: &str) -> SavepointsAt {
    Pipeline::parse(&format!("{text}\n{BASE}"), "etc/p.toml", &env).unwrap().savepoints_at()
}

#[test]
fn savepoints_lie_beside_the_store_unless_the_file_says_otherwise() {
    let folder = |path: &str| SavepointsAt::Folder(path.into());
    assert_eq!(at(""), folder("etc/data/savepoints"));
    assert_eq!(at("data = \"/var/lib/p\""), folder("/var/lib/savepoints"));
    assert_eq!(at("[savepoints]\nurl = \"kept\""), folder("etc/kept"));
    assert_eq!(at("[savepoints]\nurl = \"file:///mnt/kept\""), folder("/mnt/kept"));
    for cloud in ["s3://bucket", "gs://bucket/a/b", "az://container/a"] {
        assert_eq!(at(&format!("[savepoints]\nurl = \"{cloud}\"")), SavepointsAt::Cloud(cloud.to_owned()));
    }
}

#[test]
fn a_place_that_is_none_and_a_way_back_without_savepoints_are_refused() {
    let place = |place: &str| {
        format!("2:7: `url`: `{place}` is no place for savepoints; write a folder, or `s3://BUCKET/PATH`, `gs://...`, `az://...`")
    };
    for url in ["ftp://host/a", "s3://", "file://relative"] {
        check_top(&format!("[savepoints]\nurl = \"{url}\""), &[(Kind::BadAddress, &place(url))]);
    }
    check_top(
        "[savepoints]\nbefore_swap = false\non_bad_build = \"roll_back_state\"",
        &[(
            Kind::Conflict,
            "2:15: `on_bad_build = \"roll_back_state\"` goes back to the savepoint before the swap; leave `before_swap` out, or say `true`",
        )],
    );
    check_top(
        "[savepoints]\non_bad_build = \"roll_back\"",
        &[(Kind::BadChoice, "2:16: `on_bad_build`: expected `roll_back_code` or `roll_back_state`, found `roll_back`")],
    );
    check_top("[savepoints]\nkeep = 0", &[(Kind::OutOfRange, "2:8: `keep` must be from 1 to 1000000000, found 0")]);
}
