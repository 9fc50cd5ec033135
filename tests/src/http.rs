//! An HTTP server of a test's own: it keeps what it is sent, and answers as the test says.

#![expect(clippy::unwrap_used, reason = "helpers of tests: the first surprise ends the test")]

use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Request {
    /// When it came.
    pub at: Instant,
    /// `POST /path HTTP/1.1`.
    pub line: String,
    /// Headers, names in lower case.
    pub headers: BTreeMap<String, String>,
    /// Body.
    pub body: String,
}

/// What is answered: a status, and further header lines.
pub type Reply = (u16, &'static str);

/// Says what to answer to the n-th request, from 0.
pub type Script = Box<dyn Fn(usize, &Request) -> Reply + Send + Sync>;

/// The server; it listens until the test ends.
pub struct Server {
    /// Where it listens.
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    seen: Mutex<Vec<(Request, u16)>>,
    script: Mutex<Script>,
    gone: AtomicBool,
}

impl Server {
    /// Starts one on a free port.
    pub fn start(script: impl Fn(usize, &Request) -> Reply + Send + Sync + 'static) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared { seen: Mutex::default(), script: Mutex::new(Box::new(script)), gone: AtomicBool::new(false) });
        let serving = shared.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (stream, serving) = (stream.unwrap(), serving.clone());
                if serving.gone.load(Ordering::SeqCst) {
                    return;
                }
                std::thread::spawn(move || serving.serve(stream));
            }
        });
        Server { address, shared }
    }

    /// A server to which all is well.
    pub fn willing() -> Server {
        Server::start(|_, _| (200, ""))
    }

    /// Answers otherwise from now on.
    pub fn answers(&self, script: impl Fn(usize, &Request) -> Reply + Send + Sync + 'static) {
        *self.shared.script.lock() = Box::new(script);
    }

    /// Every request so far, with the status that it was answered.
    pub fn seen(&self) -> Vec<(Request, u16)> {
        self.shared.seen.lock().clone()
    }

    /// Bodies of requests that were answered with 200, in the order in which they came.
    pub fn taken(&self) -> Vec<String> {
        self.seen().into_iter().filter(|(_, status)| *status == 200).map(|(request, _)| request.body).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.gone.store(true, Ordering::SeqCst);
        // Wakes the listener, so that it sees it.
        drop(TcpStream::connect(self.address));
    }
}

impl Shared {
    /// Answers the requests of a connection until it is closed.
    fn serve(&self, stream: TcpStream) {
        let (mut reader, mut writer) = (BufReader::new(stream.try_clone().unwrap()), stream);
        while let Some(request) = read(&mut reader) {
            let (status, headers) = {
                let mut seen = self.seen.lock();
                let reply = (self.script.lock())(seen.len(), &request);
                seen.push((request, reply.0));
                reply
            };
            let answer = format!("HTTP/1.1 {status} x\r\n{headers}content-length: 3\r\n\r\nwhy");
            if writer.write_all(answer.as_bytes()).is_err() {
                return;
            }
        }
    }
}

fn read(reader: &mut BufReader<TcpStream>) -> Option<Request> {
    let mut line = String::new();
    if reader.read_line(&mut line).ok()? == 0 {
        return None;
    }
    let mut headers = BTreeMap::new();
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        let Some((name, value)) = header.trim().split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let length = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Request { at: Instant::now(), line: line.trim().to_owned(), headers, body: String::from_utf8(body).unwrap() })
}
