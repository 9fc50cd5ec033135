//! Wrong code gets a sentence that says what to write instead.

#[test]
fn a_mistake_is_answered_with_what_to_write_instead() {
    trybuild::TestCases::new().compile_fail("tests/ui/*.rs");
}
