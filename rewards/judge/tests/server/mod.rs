//! A server that speaks as much HTTP as the judge needs to hear.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

/// What is sent back.
pub struct Reply {
    status: u16,
    body: String,
    after: Option<String>,
    whole: bool,
}

impl Reply {
    /// A chat completion that says this.
    pub fn answer(content: &str) -> Self {
        let usage = json!({ "prompt_tokens": 7, "completion_tokens": 1 });
        Self::text(&json!({ "choices": [{ "message": { "content": content } }], "usage": usage }).to_string())
    }

    /// Any body.
    pub fn text(body: &str) -> Self {
        Self { status: 200, body: body.to_owned(), after: None, whole: true }
    }

    pub fn status(status: u16, body: &str) -> Self {
        Self { status, ..Self::text(body) }
    }

    pub fn after(mut self, after: &str) -> Self {
        self.after = Some(after.to_owned());
        self
    }

    /// The connection ends within the body.
    pub fn broken() -> Self {
        Self { whole: false, ..Self::answer("1") }
    }
}

/// Runs until the test's process ends.
pub struct Server {
    port: u16,
    seen: Arc<Seen>,
}

#[derive(Default)]
struct Seen {
    requests: Mutex<Vec<Value>>,
    at_once: AtomicUsize,
    most_at_once: AtomicUsize,
}

impl Server {
    /// Answers each request with what `reply` makes of its body and its number.
    pub fn start(reply: impl Fn(&Value, usize) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (seen, reply) = (Arc::new(Seen::default()), Arc::new(reply));
        let server = Self { port, seen: Arc::clone(&seen) };
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (seen, reply) = (Arc::clone(&seen), Arc::clone(&reply));
                std::thread::spawn(move || serve(stream, &seen, reply.as_ref()));
            }
        });
        server
    }

    pub fn address(&self) -> String {
        format!("http://127.0.0.1:{}/v1", self.port)
    }

    pub fn requests(&self) -> Vec<Value> {
        self.seen.requests.lock().unwrap().clone()
    }

    pub fn most_at_once(&self) -> usize {
        self.seen.most_at_once.load(Ordering::SeqCst)
    }
}

fn serve(stream: TcpStream, seen: &Seen, reply: &dyn Fn(&Value, usize) -> Reply) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let (mut line, mut length) = (String::new(), 0);
    if reader.read_line(&mut line).unwrap_or(0) == 0 {
        return;
    }
    assert!(line.starts_with("POST /v1/chat/completions "), "{line}");
    loop {
        line.clear();
        reader.read_line(&mut line).unwrap();
        let lower = line.trim().to_lowercase();
        if lower.is_empty() {
            break;
        }
        assert!(!lower.starts_with("authorization"), "no key was set");
        if let Some(value) = lower.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let request: Value = serde_json::from_slice(&body).unwrap();
    let now = seen.at_once.fetch_add(1, Ordering::SeqCst) + 1;
    seen.most_at_once.fetch_max(now, Ordering::SeqCst);
    let number = {
        let mut requests = seen.requests.lock().unwrap();
        requests.push(request.clone());
        requests.len() - 1
    };
    let Reply { status, body, after, whole } = reply(&request, number);
    seen.at_once.fetch_sub(1, Ordering::SeqCst);
    let after = after.map(|after| format!("retry-after: {after}\r\n")).unwrap_or_default();
    let length = body.len() + if whole { 0 } else { 100 };
    let head = format!(
        "HTTP/1.1 {status} x\r\ncontent-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n{after}\r\n"
    );
    // A client that gave up is no trouble.
    _ = (&stream).write_all(head.as_bytes()).and_then(|()| (&stream).write_all(body.as_bytes()));
}
