//! The admin doors of a running pipeline, as a probe or a scraper comes to them.

#![expect(clippy::unwrap_used, reason = "helpers of tests: the first surprise ends the test")]

use sangam::admin::{Admin, View};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::world::Running;

/// Opens the doors of a pipeline on a port of their own; a worker that has not moved for `stuck_after` makes it unhealthy.
pub fn open(running: &Running, stuck_after: Duration) -> Admin {
    let view = View {
        topology: running.topology.clone(),
        builds: running.builds.clone(),
        control: running.control.clone(),
        metrics: running.metrics.clone(),
        store: running.store.clone(),
        started: Instant::now(),
    };
    let admin = sangam::config::Admin { listen: ([127, 0, 0, 1], 0).into(), token: None, stuck_after };
    Admin::start(&admin, Arc::new(view)).unwrap()
}

/// Status and body of the answer to a request.
pub fn get(address: SocketAddr, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}
