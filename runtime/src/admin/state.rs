//! The door by which the state of keys is read while the pipeline runs.

use super::View;
use crate::pipeline::query::{KEYS_MAX, Query, QueryError};
use axum::Json;
use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use std::sync::Arc;

/// Keys of a list unless the caller says otherwise.
const KEYS: usize = 100;

/// What is asked for behind the `?`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Asked {
    key: Option<String>,
    prefix: String,
    after: Option<String>,
    limit: Option<usize>,
}

/// Answers with the state of one key, or with a list of keys.
pub(super) async fn state(State(view): State<Arc<View>>, Path(operator): Path<String>, RawQuery(query): RawQuery) -> Response {
    let asked = match Asked::read(query.as_deref().unwrap_or_default()) {
        Ok(asked) => asked,
        Err(why) => return (StatusCode::BAD_REQUEST, format!("{why}\n")).into_response(),
    };
    // The store may have to read its file.
    let looked = tokio::task::spawn_blocking(move || look(&view, &operator, &asked)).await;
    looked.unwrap_or_else(|_| StatusCode::INTERNAL_SERVER_ERROR.into_response())
}

fn look(view: &View, operator: &str, asked: &Asked) -> Response {
    let query = match Query::of(operator, &view.topology, &view.builds, view.store.as_ref(), &view.control) {
        Ok(query) => query,
        Err(why) => return refused(&why),
    };
    match &asked.key {
        Some(key) => answer(query.key(key)),
        None => answer(query.keys(&asked.prefix, asked.after.as_deref(), asked.limit.unwrap_or(KEYS))),
    }
}

fn answer(found: Result<impl Serialize, QueryError>) -> Response {
    match found {
        Ok(found) => Json(found).into_response(),
        Err(why) => refused(&why),
    }
}

fn refused(why: &QueryError) -> Response {
    let status = match why {
        QueryError::NoOperator { .. } | QueryError::Stateless(_) | QueryError::NoKey { .. } => StatusCode::NOT_FOUND,
        QueryError::Elsewhere { .. } => StatusCode::CONFLICT,
        QueryError::NotYet(_) => StatusCode::SERVICE_UNAVAILABLE,
        QueryError::Store(_) => StatusCode::INTERNAL_SERVER_ERROR,
    };
    (status, format!("{why}\n")).into_response()
}

// === impl Asked ===

impl Asked {
    fn read(query: &str) -> Result<Asked, String> {
        let mut asked = Asked::default();
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            match name.as_ref() {
                "key" => asked.key = Some(value.into_owned()),
                "prefix" => asked.prefix = value.into_owned(),
                "after" => asked.after = Some(value.into_owned()),
                "limit" => asked.limit = Some(limit(&value)?),
                other => return Err(format!("`{other}` is not understood; there are `key`, or `prefix`, `after` and `limit`")),
            }
        }
        Ok(asked)
    }
}

fn limit(value: &str) -> Result<usize, String> {
    let limit = value.parse().ok().filter(|limit| (1..=KEYS_MAX).contains(limit));
    limit.ok_or_else(|| format!("`limit` is from 1 to {KEYS_MAX}, not `{value}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_is_read_as_a_browser_writes_it_and_the_rest_is_refused() {
        let all = Asked { key: Some("a b&c".into()), prefix: "é".into(), after: Some("x".into()), limit: Some(1_000) };
        assert_eq!(Asked::read("key=a+b%26c&prefix=%C3%A9&after=x&limit=1000"), Ok(all));
        assert_eq!(Asked::read(""), Ok(Asked::default()));
        for (query, part) in [("limit=0", "from 1 to 1000"), ("limit=1001", "from 1 to 1000"), ("limit=x", "not `x`"), ("kye=a", "`kye`")] {
            assert!(Asked::read(query).unwrap_err().contains(part), "{query}");
        }
    }
}
