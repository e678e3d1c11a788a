// SPDX-License-Identifier: GPL-2.0

//! The server: the page and its files, reports, and a socket for each open page.

use crate::guard::Guard;
use crate::protocol::{self, Request, Shown};
use crate::session::Session;
use crate::tour::Tour;
use anyhow::{Context, Result};
use axum::Router;
use axum::body::Body;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{FromRequestParts, Request as HttpRequest, State};
use axum::http::{HeaderValue, Method, Response, StatusCode, header};
use axum::response::IntoResponse;
use live::Status;
use report::html;
use serde_json::json;
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::time;

/// Shortest time between two messages to a page: 30 a second.
const PAUSE: Duration = Duration::from_millis(33);

/// Longest time for a page to take a message. A test has a page that takes none until others have
/// taken many.
const SLOW: Duration = Duration::from_secs(if cfg!(test) { 120 } else { 10 });

/// Number of pages that may be open at the same time.
const PAGES: usize = 16;

/// Size of the largest message of a page, in bytes.
const MESSAGE: usize = 1024;

/// Number of messages that a page may send at once, and per second.
const MESSAGES: u32 = 20;

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JS: &str = "text/javascript; charset=utf-8";

/// Files of the page: name, type, content.
const FILES: [(&str, &str, &str); 5] = [
    ("", HTML, include_str!("../page/index.html")),
    ("lanes.css", CSS, html::LANES_CSS),
    ("lanes.js", JS, html::LANES_JS),
    ("page.css", CSS, include_str!("../page/page.css")),
    ("page.js", JS, include_str!("../page/page.js")),
];

/// The policy of the page: it loads only files of this server, and connects to nothing else.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                      img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The policy of a report, one file with its script: it cannot use this server.
const REPORT_POLICY: &str = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; \
                             img-src data:; sandbox allow-scripts allow-downloads; frame-ancestors 'none'";

/// Listens at 127.0.0.1. Port 0: any free port.
pub fn listen(port: u16) -> Result<TcpListener> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))
        .with_context(|| format!("cannot listen at 127.0.0.1:{port}"))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// A server that runs until the program ends.
pub struct Server {
    /// The address of the page, with the token.
    pub url: String,
}

impl Server {
    /// Starts to serve a session. `about`: one line.
    pub fn start(listener: TcpListener, session: Arc<dyn Session>, about: &str) -> Result<Server> {
        let guard = Guard::new(listener.local_addr()?.port())?;
        let url = guard.url();
        let first = Shown { state: session.state(), ..Shown::default() };
        let (newest, states) = watch::channel(first);
        let tour = Arc::new(Tour::default());
        let (watched, followed) = (session.clone(), tour.clone());
        thread::spawn(move || {
            // Ends with the last receiver.
            while !newest.is_closed() {
                let seen = newest.borrow().state.clone();
                let state = watched.changed(&seen, Duration::from_secs(1));
                if !Arc::ptr_eq(&seen, &state) {
                    newest.send_replace(Shown { tour: followed.look(&state), state });
                }
            }
        });
        let shared = Arc::new(Shared {
            guard,
            session,
            states,
            tour,
            about: about.into(),
            pages: AtomicUsize::new(0),
        });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        thread::spawn(move || {
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener)?;
                axum::serve(listener, Router::new().fallback(serve).with_state(shared)).await
            })
        });
        Ok(Server { url })
    }
}

struct Shared {
    guard: Guard,
    session: Arc<dyn Session>,
    states: watch::Receiver<Shown>,
    tour: Arc<Tour>,
    about: String,
    /// Number of open pages.
    pages: AtomicUsize,
}

async fn serve(State(shared): State<Arc<Shared>>, request: HttpRequest) -> Response<Body> {
    let mut response = answer(shared, request).await;
    let headers = response.headers_mut();
    headers.entry(header::CONTENT_SECURITY_POLICY).or_insert(HeaderValue::from_static(POLICY));
    for (name, value) in [
        (header::CACHE_CONTROL, "no-store"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

async fn answer(shared: Arc<Shared>, request: HttpRequest) -> Response<Body> {
    let (mut parts, _) = request.into_parts();
    let path = parts.uri.path().to_owned();
    let path = match shared.guard.check(&path, &parts.headers, |path| path == "socket") {
        Ok(path) => path,
        Err(status) => return status.into_response(),
    };
    if parts.method != Method::GET {
        return StatusCode::METHOD_NOT_ALLOWED.into_response();
    }
    if path == "socket" {
        let upgrade = match WebSocketUpgrade::from_request_parts(&mut parts, &()).await {
            Ok(upgrade) => upgrade.max_message_size(MESSAGE).max_frame_size(MESSAGE),
            Err(rejection) => return rejection.into_response(),
        };
        let Some(page) = Page::open(shared) else {
            return StatusCode::SERVICE_UNAVAILABLE.into_response();
        };
        return upgrade.on_upgrade(|socket| page.run(socket));
    }
    if let Some((_, kind, text)) = FILES.iter().find(|(name, _, _)| *name == path) {
        return ([(header::CONTENT_TYPE, *kind)], *text).into_response();
    }
    match path.strip_prefix("report/") {
        Some(name) => report(&shared, name).await,
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

/// Returns a file of a report: `html` and `pftrace.gz` are those of the newest one, which is saved
/// first; other names are file names.
async fn report(shared: &Arc<Shared>, name: &str) -> Response<Body> {
    let session = shared.session.clone();
    let saved = match tokio::task::spawn_blocking(move || session.save()).await {
        Ok(saved) => saved,
        Err(e) => Err(e.into()),
    };
    match saved.and_then(|paths| read(&paths, name)) {
        Ok(Some((kind, policy, bytes))) => {
            let headers = [(header::CONTENT_TYPE, kind), (header::CONTENT_SECURITY_POLICY, policy)];
            (headers, bytes).into_response()
        }
        Ok(None) => {
            (StatusCode::NOT_FOUND, "no such report: load the module first").into_response()
        }
        Err(e) => (StatusCode::INTERNAL_SERVER_ERROR, format!("no report: {e:#}")).into_response(),
    }
}

/// Reads the file of a report, with its type and its policy. Reads no file that is not of a report.
fn read(paths: &[PathBuf], name: &str) -> Result<Option<(&'static str, &'static str, Vec<u8>)>> {
    let types = [("html", HTML, REPORT_POLICY), ("pftrace.gz", "application/gzip", POLICY)];
    for (extension, kind, policy) in types {
        let files = paths.iter().rev().map(|path| path.with_extension(extension));
        let mut wanted = files.filter(|file| {
            name == extension || file.file_name().is_some_and(|known| known == name)
        });
        if let Some(file) = wanted.next() {
            let bytes = std::fs::read(&file).with_context(|| file.display().to_string())?;
            return Ok(Some((kind, policy, bytes)));
        }
    }
    Ok(None)
}

/// An open page.
struct Page {
    shared: Arc<Shared>,
}

impl Page {
    /// Counts the page; `None`: too many are open.
    fn open(shared: Arc<Shared>) -> Option<Page> {
        let (one, order) = (|open| (open < PAGES).then_some(open + 1), Ordering::Relaxed);
        shared.pages.fetch_update(order, order, one).ok()?;
        Some(Page { shared })
    }

    /// Sends the state, and what is new each time the page has taken the last message: nothing is
    /// queued. Receives requests.
    async fn run(self, mut socket: WebSocket) {
        let mut states = self.shared.states.clone();
        let mut shown = states.borrow_and_update().clone();
        let mut message = protocol::full(&shown);
        message["about"] = self.shared.about.clone().into();
        message["kinds"] = serde_json::from_str(&html::kinds()).unwrap_or_default();
        let mut budget = Budget::new(Instant::now());
        if !send(&mut socket, &message).await {
            return;
        }
        let mut next = time::Instant::now() + PAUSE;
        loop {
            let newer = async {
                time::sleep_until(next).await;
                states.changed().await
            };
            let message = tokio::select! {
                newer = newer => match newer {
                    Ok(()) => {
                        next = time::Instant::now() + PAUSE;
                        let state = states.borrow_and_update().clone();
                        let message = protocol::update(&shown, &state);
                        shown = state;
                        message
                    }
                    Err(_) => return,
                },
                received = socket.recv() => match received {
                    Some(Ok(Message::Text(text))) if budget.take(Instant::now()) => match self.request(&text, &shown.state) {
                        Some(answer) => answer,
                        None => continue,
                    },
                    Some(Ok(Message::Ping(_) | Message::Pong(_))) if budget.take(Instant::now()) => continue,
                    // Closed, too large, too many, or binary.
                    _ => return,
                },
            };
            if !send(&mut socket, &message).await {
                return;
            }
        }
    }

    /// Handles a message of the page. Returns its error.
    fn request(&self, text: &str, state: &live::State) -> Option<serde_json::Value> {
        match Request::read(text, state) {
            Ok(request) if state.status == Status::Running => {
                let Shared { session, tour, .. } = &*self.shared;
                if !tour.request(&request, state, &**session) {
                    request.pass_on(&**session);
                }
                None
            }
            Ok(_) => Some(json!({ "error": "The session has ended." })),
            Err(e) => Some(json!({ "error": e })),
        }
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        self.shared.pages.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Sends a message. Returns whether the page has taken it.
async fn send(socket: &mut WebSocket, message: &serde_json::Value) -> bool {
    let sent = socket.send(Message::text(message.to_string()));
    matches!(time::timeout(SLOW, sent).await, Ok(Ok(())))
}

/// How many messages a page may send at present.
struct Budget {
    left: u32,
    since: Instant,
}

impl Budget {
    fn new(now: Instant) -> Self {
        Budget { left: MESSAGES, since: now }
    }

    fn take(&mut self, now: Instant) -> bool {
        if now - self.since >= Duration::from_secs(1) {
            *self = Budget::new(now);
        }
        match self.left.checked_sub(1) {
            Some(left) => self.left = left,
            None => return false,
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::fake::Fake;
    use live::Power;
    use serde_json::Value;
    use std::io::{Read, Write};
    use std::net::{SocketAddr, TcpStream};
    use tungstenite::client::IntoClientRequest;
    use tungstenite::{Message as Sent, WebSocket as Client};

    /// More than a test takes on a busy machine.
    const LIMIT: Duration = Duration::from_secs(60);

    fn start(session: &Arc<Fake>) -> Server {
        Server::start(listen(0).unwrap(), session.clone(), "a test").unwrap()
    }

    impl Server {
        fn address(&self) -> SocketAddr {
            self.host().parse().unwrap()
        }

        fn host(&self) -> &str {
            self.url.split('/').nth(2).unwrap()
        }

        fn path(&self, below: &str) -> String {
            format!("/{}/{below}", self.url.split('/').nth(3).unwrap())
        }

        fn stream(&self) -> TcpStream {
            let stream = TcpStream::connect(self.address()).unwrap();
            stream.set_read_timeout(Some(LIMIT)).unwrap();
            stream
        }

        /// Sends a request. Returns the status and the whole answer.
        fn request(&self, path: &str, host: &str, more: &str) -> (u16, String) {
            let mut stream = self.stream();
            write!(
                stream,
                "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{more}\r\n"
            )
            .unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            (answer[9..12].parse().unwrap(), answer)
        }

        fn get(&self, below: &str) -> (u16, String) {
            self.request(&self.path(below), self.host(), "")
        }

        /// Opens a page's socket, and takes the first message.
        fn open(&self) -> Client<TcpStream> {
            let mut client = self.connect().unwrap();
            assert_eq!(receive(&mut client)["full"], true);
            client
        }

        fn connect(&self) -> Result<Client<TcpStream>> {
            let url = format!("ws://{}{}", self.host(), self.path("socket"));
            let mut request = url.into_client_request()?;
            request.headers_mut().insert("origin", format!("http://{}", self.host()).parse()?);
            let client = tungstenite::client(request, self.stream());
            Ok(client.map_err(|e| anyhow::anyhow!("{e}"))?.0)
        }
    }

    fn receive(client: &mut Client<TcpStream>) -> Value {
        serde_json::from_str(client.read().unwrap().to_text().unwrap()).unwrap()
    }

    /// Takes messages up to the first with this name.
    fn receive_with(client: &mut Client<TcpStream>, name: &str) -> Value {
        loop {
            let message = receive(client);
            if !message[name].is_null() {
                return message[name].clone();
            }
        }
    }

    fn say(client: &mut Client<TcpStream>, text: &str) {
        client.send(Sent::text(text)).unwrap();
    }

    /// Whether the server has closed the connection.
    fn is_closed(client: &mut Client<TcpStream>) -> bool {
        let start = Instant::now();
        loop {
            match client.read() {
                Ok(_) if start.elapsed() > LIMIT => return false,
                Ok(Sent::Close(_)) => return true,
                Ok(_) => {}
                Err(tungstenite::Error::Io(e)) => {
                    return e.kind() != std::io::ErrorKind::WouldBlock;
                }
                Err(_) => return true,
            }
        }
    }

    fn requested(session: &Fake, wanted: &[&str]) {
        let start = Instant::now();
        while session.requests() != wanted {
            assert!(start.elapsed() < LIMIT, "{:?} instead of {wanted:?}", session.requests());
            thread::yield_now();
        }
    }

    #[test]
    fn strangers_get_nothing() {
        let server = start(&Fake::new(1));
        let (host, evil) = (server.host(), "evil.example");
        let wrong = server.path("").replace(['0', '1', '2', '3'], "f");
        for (path, host, more, status) in [
            (server.path("").as_str(), host, "", 200),
            ("/", host, "", 404),
            (&wrong, host, "", 404),
            (&server.path(""), evil, "", 421),
            (&server.path("page.js"), host, "Origin: http://evil.example\r\n", 403),
            (&server.path("socket"), host, "Origin: http://evil.example\r\n", 403),
            (&server.path("socket"), host, "", 403),
            (&server.path("none"), host, "", 404),
            (&server.path("report/../../Cargo.toml"), host, "", 404),
        ] {
            let (seen, answer) = server.request(path, host, more);
            assert_eq!(seen, status, "{path} {host} {more}");
            assert_eq!(answer.contains("<!DOCTYPE"), status == 200);
            let answer = answer.to_lowercase();
            for header in [
                "cache-control: no-store",
                "referrer-policy: no-referrer",
                "x-content-type-options: nosniff",
                "content-security-policy: default-src 'none'",
            ] {
                assert!(answer.contains(header), "{path}: {header}");
            }
            assert!(!answer.contains("'unsafe-inline'"), "{path}");
        }
        let mut stream = server.stream();
        write!(
            stream,
            "POST {} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            server.path("")
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 405"), "{answer}");
    }

    #[test]
    fn the_server_listens_on_this_machine_only() {
        let server = start(&Fake::new(1));
        let port = server.address().port();
        assert!(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok());
        // Also of this machine, but another address.
        assert!(TcpStream::connect((Ipv4Addr::new(127, 0, 0, 2), port)).is_err());
    }

    #[test]
    fn pages_show_the_same_session() {
        let session = Fake::new(2);
        let server = start(&session);
        let mut pages = [server.open(), server.open()];
        say(&mut pages[0], r#"{"do":"offline","cpu":1}"#);
        requested(&session, &["echo 0 > /sys/devices/system/cpu/cpu1/online"]);
        session.change(|state| state.cpus.get_mut(&1).unwrap().power = Power::Offline);
        for page in &mut pages {
            assert_eq!(receive_with(page, "cpus")["1"]["power"], "offline");
        }
    }

    #[test]
    fn a_closed_page_does_not_end_the_session() {
        let session = Fake::new(1);
        let server = start(&session);
        drop(server.open());
        let mut page = server.open();
        say(&mut page, r#"{"do":"wake"}"#);
        requested(&session, &["echo all > /sys/kernel/debug/rust_smpboot_demo/wake"]);
        session.change(|state| state.status = Status::Ended { ok: true, lines: vec![] });
        assert_eq!(receive_with(&mut page, "status")["Ended"]["ok"], true);
        say(&mut page, r#"{"do":"wake"}"#);
        assert_eq!(receive_with(&mut page, "error"), "The session has ended.");
    }

    #[test]
    fn invalid_messages_are_refused_and_hurt_no_other_page() {
        let session = Fake::new(1);
        let server = start(&session);
        let mut page = server.open();
        let mut bad = server.open();
        for text in ["text", "{}", r#"{"do":"wake","cpu":7}"#] {
            say(&mut bad, text);
            assert!(receive_with(&mut bad, "error").is_string(), "{text}");
        }
        bad.send(Sent::binary(vec![0; 10])).unwrap();
        assert!(is_closed(&mut bad));
        let mut large = server.open();
        say(&mut large, &" ".repeat(MESSAGE + 1));
        assert!(is_closed(&mut large));
        let mut flood = server.open();
        // More than MESSAGES: a test that is delayed for a second may send them once more.
        let many = 500 * MESSAGES;
        (0..many).all(|_| flood.send(Sent::text(r#"{"do":"wake"}"#)).is_ok());
        assert!(is_closed(&mut flood));
        let _ = server.stream().write_all(&[0xff; 5000]);
        assert!(session.requests().len() >= MESSAGES as usize);
        session.change(|state| state.sentence = "still here".into());
        assert_eq!(receive_with(&mut page, "sentence"), "still here");
    }

    #[test]
    fn a_page_may_send_some_messages_per_second() {
        let start = Instant::now();
        let mut budget = Budget::new(start);
        let mut taken = |ms| {
            let now = start + Duration::from_millis(ms);
            (0..2 * MESSAGES).filter(|_| budget.take(now)).count() as u32
        };
        assert_eq!([taken(0), taken(999), taken(1000), taken(1999)], [MESSAGES, 0, MESSAGES, 0]);
    }

    #[test]
    fn a_slow_page_delays_no_other_and_skips_states() {
        let session = Fake::new(4);
        let server = start(&session);
        let (mut slow, mut page) = (server.open(), server.open());
        // Far more than the buffers of a socket take.
        let (rounds, size) = (20, 2 << 20);
        for round in 1..=rounds {
            session.change(|state| {
                state.now = round;
                state.sentence = char::from(b'a' + round as u8 % 26).to_string().repeat(size);
            });
            assert_eq!(receive(&mut page)["now"], round);
        }
        // The page gets what was under way, and then the newest state.
        let mut taken = 0;
        while receive(&mut slow)["now"] != rounds {
            taken += 1;
        }
        assert!(taken < rounds / 2, "{taken} messages were queued");
    }

    #[test]
    fn the_number_of_pages_is_limited() {
        let server = start(&Fake::new(1));
        let mut pages: Vec<_> = (0..PAGES).map(|_| server.open()).collect();
        assert!(server.connect().is_err());
        pages.pop();
        let start = Instant::now();
        while server.connect().is_err() {
            assert!(start.elapsed() < LIMIT);
        }
    }

    #[test]
    fn only_files_of_reports_are_served() {
        let directory = std::env::temp_dir().join(format!("vm-test-web-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        for name in ["play.html", "play.pftrace.gz", "secret.html"] {
            std::fs::write(directory.join(name), format!("<p>{name}")).unwrap();
        }
        let session = Fake::new(1);
        let server = start(&session);
        assert_eq!(server.get("report/html").0, 404);
        session.set_report(directory.join("play.html"));
        for (name, file) in
            [("html", "play.html"), ("pftrace.gz", "play.pftrace.gz"), ("play.html", "play.html")]
        {
            let (status, answer) = server.get(&format!("report/{name}"));
            assert_eq!(status, 200, "{name}");
            assert!(answer.ends_with(&format!("<p>{file}")), "{answer}");
            // A report's script must not reach the socket.
            assert_eq!(answer.contains("sandbox allow-scripts"), file == "play.html", "{answer}");
        }
        for name in ["secret.html", "../secret.html", "%2e%2e/secret.html", "", "trace"] {
            assert_eq!(server.get(&format!("report/{name}")).0, 404, "{name}");
        }
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
