//! The operator of both guests: it keeps what it is told. They differ in nothing but what counts as a use.

/// Makes the guest, whose state has this attribute.
macro_rules! keeper {
    ($state:meta) => {
        use sangam_sdk::*;

        /// What to do, for which key.
        #[event]
        pub struct Step {
            /// The key.
            pub key: String,
            /// `put` keeps the text, `get` says what is kept.
            pub act: String,
            /// What to keep.
            pub text: Option<String>,
        }

        /// What is kept.
        #[event]
        pub struct Answer {
            /// The key.
            pub key: String,
            /// Nothing if it has expired.
            pub value: Option<String>,
        }

        /// What is remembered for a key.
        #[$state]
        pub struct Kept {
            /// What was put last.
            pub value: Option<String>,
        }

        /// Keeps what it is told.
        #[operator(key = "key")]
        pub fn keep(step: Step, kept: &mut Kept) -> Result<Option<Answer>> {
            match step.act.as_str() {
                "put" => {
                    kept.value = step.text;
                    Ok(None)
                }
                "get" => Ok(Some(Answer { key: step.key, value: kept.value.clone() })),
                other => Err(reject(format!("there is no act `{other}`"))),
            }
        }
    };
}
