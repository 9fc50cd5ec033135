//! HTTP: metrics, health, and the pipeline as JSON. A thread of its own, so that a slow caller never holds a worker up.

use super::{View, savepoints, state};
use crate::config;
use crate::pipeline::Phase;
use anyhow::{Context, Result};
use axum::extract::{Path, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use sha2::{Digest, Sha256};
use std::hint::black_box;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::oneshot;

/// The HTTP doors, open until dropped.
pub struct Admin {
    address: SocketAddr,
    close: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// SHA-256 of the token: two hashes have one length, and how long they take to compare says nothing of the token.
type TokenHash = [u8; 32];

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

// === impl Admin ===

impl Admin {
    /// Opens the doors.
    ///
    /// # Errors
    /// When the address cannot be listened at.
    pub fn start(admin: &config::Admin, view: Arc<View>) -> Result<Admin> {
        let listener = TcpListener::bind(admin.listen).map_err(|why| {
            anyhow::anyhow!(
                "the admin doors cannot open at {}: {why}; end what listens there, or set `listen` under `[admin]` to a free port (0 takes any)",
                admin.listen
            )
        })?;
        listener.set_nonblocking(true).context("the admin socket cannot be set up")?;
        let address = listener.local_addr().context("the admin socket cannot be set up")?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("the admin doors cannot be served")?;
        let token = admin.token.as_ref().map(|token| hash(token.0.as_bytes()));
        let stuck_after = admin.stuck_after;
        let (close, closed) = oneshot::channel();
        let serve = async move {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            tokio::select! {
                served = axum::serve(listener, routes(view, token, stuck_after)) => served,
                _ = closed => Ok(()),
            }
        };
        let run = move || {
            if let Err(why) = runtime.block_on(serve) {
                tracing::error!("the admin doors are closed: {why}");
            }
            // Whoever still waits for a savepoint waits in vain.
            runtime.shutdown_background();
        };
        let thread = std::thread::Builder::new().name("admin".to_owned()).spawn(run).context("the admin thread cannot be started")?;
        tracing::info!("admin: http://{address}/api/v1/pipeline, /metrics, /healthz, /readyz");
        Ok(Admin { address, close: Some(close), thread: Some(thread) })
    }

    /// Where they are, also when the port was left to the system.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Admin {
    fn drop(&mut self) {
        drop(self.close.take());
        if let Some(thread) = self.thread.take() {
            // A panic has been printed by the thread itself.
            let _ = thread.join();
        }
    }
}

// === what is served ===

fn routes(view: Arc<View>, token: Option<TokenHash>, stuck_after: Duration) -> Router {
    // A layer holds for the routes before it: health is asked for by probes, which know no token and are told nothing that needs one.
    Router::new()
        .route("/metrics", get(metrics))
        .route("/api/v1/pipeline", get(pipeline))
        .route("/api/v1/pipeline/why/{operator}", get(why))
        .route("/api/v1/pipeline/state/{operator}", get(state::state))
        .route("/api/v1/pipeline/savepoints", post(savepoints::create))
        .layer(middleware::from_fn_with_state(token, check_token))
        .route("/readyz", get(ready))
        .route("/healthz", get(move |view| healthy(view, stuck_after)))
        .with_state(view)
}

async fn metrics(State(view): State<Arc<View>>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, OPEN_METRICS)], view.exposition())
}

async fn ready(State(view): State<Arc<View>>) -> impl IntoResponse {
    match (view.control.stopping(), view.control.health().phase()) {
        (true, _) => (StatusCode::SERVICE_UNAVAILABLE, "stopping\n".to_owned()),
        (false, Phase::Running) => (StatusCode::OK, "ready\n".to_owned()),
        (false, phase) => (StatusCode::SERVICE_UNAVAILABLE, format!("{phase}\n")),
    }
}

async fn healthy(State(view): State<Arc<View>>, stuck_after: Duration) -> impl IntoResponse {
    match view.control.health().stuck(stuck_after) {
        None => (StatusCode::OK, format!("ok, {}\n", view.control.health().phase().state())),
        Some((worker, still)) => {
            let body = format!("worker {worker} has not moved for {} s\n", still.as_secs());
            (StatusCode::SERVICE_UNAVAILABLE, body)
        }
    }
}

async fn pipeline(State(view): State<Arc<View>>) -> impl IntoResponse {
    Json(view.status())
}

async fn why(State(view): State<Arc<View>>, Path(operator): Path<String>) -> Response {
    match view.why(&operator) {
        Some(why) => Json(why).into_response(),
        None => {
            let names: Vec<&str> = view.topology.operators.iter().map(|node| &*node.name).collect();
            let message = format!("there is no operator `{operator}`; the pipeline has {}\n", names.join(", "));
            (StatusCode::NOT_FOUND, message).into_response()
        }
    }
}

async fn check_token(State(token): State<Option<TokenHash>>, request: Request, next: Next) -> Response {
    let shown = request.headers().get(header::AUTHORIZATION).and_then(|value| value.as_bytes().strip_prefix(b"Bearer "));
    let fits = token.is_none_or(|token| shown.is_some_and(|shown| same(&hash(shown), &token)));
    if fits {
        return next.run(request).await;
    }
    let how = [(header::WWW_AUTHENTICATE, "Bearer")];
    (StatusCode::UNAUTHORIZED, how, "show the token of `[admin]`: `Authorization: Bearer TOKEN`\n").into_response()
}

fn hash(token: &[u8]) -> TokenHash {
    Sha256::digest(token).into()
}

/// Compares in the same time wherever the first difference is.
fn same(one: &TokenHash, other: &TokenHash) -> bool {
    black_box(one.iter().zip(other).fold(0, |differs, (a, b)| differs | (a ^ b))) == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Secret;
    use crate::metrics::Metrics;
    use crate::pipeline::Control;
    use crate::store::MemoryStore;
    use crate::task::Topology;
    use std::io::{Read, Write};
    use std::net::TcpStream;
    use std::time::Instant;

    fn view() -> Arc<View> {
        let topology = Topology {
            name: "shop".to_owned(),
            batch: 1024,
            streams: Vec::new(),
            stream_names: Arc::new([]),
            operators: Vec::new(),
            groups: Vec::new(),
            clusters: 0,
        };
        let control = Control::default();
        Arc::new(View {
            topology: Arc::new(topology),
            builds: Default::default(),
            control,
            metrics: Arc::new(Metrics::default()),
            store: Arc::new(MemoryStore::new()),
            started: Instant::now(),
        })
    }

    fn open(token: Option<&str>, view: Arc<View>) -> Admin {
        let token = token.map(|token| Secret(token.to_owned()));
        Admin::start(&config::Admin { listen: ([127, 0, 0, 1], 0).into(), token, stuck_after: Duration::from_secs(60) }, view).unwrap()
    }

    /// The whole answer to a request for `path`, with `headers` (each with its line end).
    fn get(admin: &Admin, path: &str, headers: &str) -> String {
        let mut stream = TcpStream::connect(admin.address()).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    #[track_caller]
    fn check(answer: String, expected: &[&str]) {
        for part in expected {
            assert!(answer.contains(part), "no {part:?} in\n{answer}");
        }
    }

    #[test]
    fn a_scraper_gets_open_metrics() {
        let admin = open(None, view());
        check(get(&admin, "/metrics", ""), &["HTTP/1.1 200", OPEN_METRICS, "sangam_commits_total 0", "# EOF"]);
    }

    #[test]
    fn the_pipeline_is_there_as_json() {
        let admin = open(None, view());
        check(get(&admin, "/api/v1/pipeline", ""), &["HTTP/1.1 200", "application/json", r#""pipeline":"shop""#, r#""operators":[]"#]);
    }

    #[test]
    fn an_operator_that_is_not_there_is_named() {
        let admin = open(None, view());
        check(get(&admin, "/api/v1/pipeline/why/revenue", ""), &["HTTP/1.1 404", "there is no operator `revenue`"]);
    }

    #[test]
    fn with_a_token_only_probes_are_open_to_all() {
        let admin = open(Some("open sesame"), view());
        for path in ["/metrics", "/api/v1/pipeline", "/api/v1/pipeline/why/x", "/api/v1/pipeline/state/x?key=a"] {
            check(get(&admin, path, ""), &["HTTP/1.1 401", "www-authenticate: Bearer"]);
            check(get(&admin, path, "Authorization: Bearer open barley\r\n"), &["HTTP/1.1 401"]);
            check(get(&admin, path, "Authorization: open sesame\r\n"), &["HTTP/1.1 401"]);
        }
        check(get(&admin, "/healthz", ""), &["HTTP/1.1 200"]);
        check(get(&admin, "/readyz", ""), &["HTTP/1.1 503"]);
        check(get(&admin, "/metrics", "Authorization: Bearer open sesame\r\n"), &["HTTP/1.1 200"]);
    }

    #[test]
    fn a_savepoint_is_asked_for_as_json_by_who_may_while_the_pipeline_runs() {
        let view = view();
        view.control.savepoints().end();
        let admin = open(Some("open sesame"), view);
        let post = |headers: &str, body: &str| {
            let mut stream = TcpStream::connect(admin.address()).unwrap();
            let head = format!("POST /api/v1/pipeline/savepoints HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}");
            write!(stream, "{head}Content-Length: {}\r\n\r\n{body}", body.len()).unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            answer
        };
        let (token, json) = ("Authorization: Bearer open sesame\r\n", "Content-Type: application/json\r\n");
        check(post(json, r#"{"name":"a"}"#), &["HTTP/1.1 401"]);
        check(post(&format!("{token}Content-Type: text/plain\r\n"), r#"{"name":"a"}"#), &["HTTP/1.1 415"]);
        check(post(&format!("{token}{json}"), r#"{"name":"a/b"}"#), &["HTTP/1.1 400", "`a/b` is no name for a savepoint"]);
        check(post(&format!("{token}{json}"), r#"{"name":"a"}"#), &["HTTP/1.1 503", "the pipeline ended, or failed"]);
    }

    #[test]
    fn a_pipeline_is_not_ready_before_it_runs_nor_while_it_stops() {
        let view = view();
        let admin = open(None, view.clone());
        check(get(&admin, "/readyz", ""), &["HTTP/1.1 503", "tasks are being started"]);
        view.control.stop();
        check(get(&admin, "/readyz", ""), &["HTTP/1.1 503", "stopping"]);
        check(get(&admin, "/healthz", ""), &["HTTP/1.1 200"]);
    }

    #[test]
    fn a_taken_port_is_named_with_what_to_do() {
        let taken = open(None, view());
        let error = Admin::start(&config::Admin { listen: taken.address(), token: None, stuck_after: Duration::from_secs(60) }, view())
            .err()
            .unwrap()
            .to_string();
        check(error, &[&taken.address().to_string(), "in use", "set `listen` under `[admin]` to a free port"]);
    }

    #[test]
    fn the_doors_close_when_dropped() {
        let admin = open(None, view());
        let address = admin.address();
        drop(admin);
        assert!(TcpStream::connect(address).is_err());
    }
}
