//! The door by which a savepoint of a running pipeline is asked for.

use super::View;
use crate::pipeline::savepoint::SavepointError;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A savepoint that is asked for. It must come as JSON, which no page of another site can send unasked.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Wanted {
    /// Its name.
    pub name: String,
    /// Why it is taken.
    #[serde(default)]
    pub why: String,
}

/// Answers once the savepoint is written.
pub(super) async fn create(State(view): State<Arc<View>>, Json(wanted): Json<Wanted>) -> Response {
    let asked = match view.control.savepoints().ask(&wanted.name, &wanted.why) {
        Ok(asked) => asked,
        Err(why) => return refused(&why),
    };
    // Whoever is asked answers, or drops the question: this ends.
    let answer = tokio::task::spawn_blocking(move || asked.recv()).await;
    match answer {
        Ok(Ok(Ok(savepoint))) => Json(savepoint).into_response(),
        Ok(Ok(Err(why))) => refused(&why),
        _ => refused(&SavepointError::Ended),
    }
}

fn refused(why: &SavepointError) -> Response {
    let status = match why {
        SavepointError::Name(_) => StatusCode::BAD_REQUEST,
        SavepointError::Exists { .. } | SavepointError::Shared { .. } => StatusCode::CONFLICT,
        SavepointError::Again(_) | SavepointError::Ended => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    (status, format!("{why}\n")).into_response()
}
