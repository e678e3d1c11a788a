// SPDX-License-Identifier: GPL-2.0

//! The server: the page and its files, reports, and a socket for each open page.

use crate::guard::Guard;
use crate::protocol::{self, Request};
use crate::session::Session;
use anyhow::{Context, Result};
use axum::Router;
use axum::body::Body;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{FromRequestParts, Request as HttpRequest, State};
use axum::http::{HeaderValue, Method, Response, StatusCode, header};
use axum::response::IntoResponse;
use live::Status;
use serde_json::json;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::time;

/// Shortest time between two messages to a page: 30 a second.
const PAUSE: Duration = Duration::from_millis(33);

/// Longest time for a page to take a message.
const SLOW: Duration = Duration::from_secs(10);

/// Number of pages that may be open at the same time.
const PAGES: usize = 16;

/// Size of the largest message of a page, in bytes.
const MESSAGE: usize = 1024;

/// Number of messages that a page may send at once, and per second.
const MESSAGES: u32 = 20;

/// Files of the page: name, type, content.
const FILES: [(&str, &str, &str); 3] = [
    ("", "text/html; charset=utf-8", include_str!("../page/index.html")),
    ("page.css", "text/css; charset=utf-8", include_str!("../page/page.css")),
    ("page.js", "text/javascript; charset=utf-8", include_str!("../page/page.js")),
];

/// The policy of the page: it loads only files of this server, and connects to nothing else.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                      img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The policy of a report, one file with its script: it cannot use this server.
const REPORT_POLICY: &str = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; \
                             img-src data:; sandbox allow-scripts allow-downloads; frame-ancestors 'none'";

/// A server that runs until the program ends.
pub struct Server {
    /// The address of the page, with the token.
    pub url: String,
}

impl Server {
    /// Starts to serve a session at 127.0.0.1. Port 0: any that is free. `about`: one line.
    pub fn start(session: Arc<dyn Session>, about: &str, port: u16) -> Result<Server> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))
            .with_context(|| format!("cannot serve at 127.0.0.1:{port}"))?;
        listener.set_nonblocking(true)?;
        let guard = Guard::new(listener.local_addr()?.port())?;
        let url = guard.url();
        let (newest, states) = watch::channel(session.state());
        let watched = session.clone();
        thread::spawn(move || {
            // Ends with the last receiver.
            while !newest.is_closed() {
                watched.changed(Duration::from_secs(1));
                newest.send_replace(watched.state());
            }
        });
        let shared = Arc::new(Shared {
            guard,
            session,
            states,
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
    states: watch::Receiver<Arc<live::State>>,
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

/// Saves the report so far, and returns its file with this extension.
async fn report(shared: &Arc<Shared>, name: &str) -> Response<Body> {
    let (kind, policy) = match name {
        "html" => ("text/html; charset=utf-8", REPORT_POLICY),
        "json" => ("application/json", POLICY),
        _ => return StatusCode::NOT_FOUND.into_response(),
    };
    let saved = save(shared).await.and_then(|path| {
        let path = path.with_extension(name);
        std::fs::read(&path).with_context(|| path.display().to_string())
    });
    match saved {
        Ok(bytes) => {
            let headers = [(header::CONTENT_TYPE, kind), (header::CONTENT_SECURITY_POLICY, policy)];
            (headers, bytes).into_response()
        }
        Err(e) => (StatusCode::INTERNAL_SERVER_ERROR, format!("cannot save the report: {e:#}"))
            .into_response(),
    }
}

async fn save(shared: &Arc<Shared>) -> Result<PathBuf> {
    let session = shared.session.clone();
    tokio::task::spawn_blocking(move || session.save()).await?
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
        let mut budget = Budget::default();
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
                    Some(Ok(Message::Text(text))) if budget.take() => match self.request(&text, &shown).await {
                        Some(answer) => answer,
                        None => continue,
                    },
                    Some(Ok(Message::Ping(_) | Message::Pong(_))) if budget.take() => continue,
                    // Closed, too large, too many, or binary.
                    _ => return,
                },
            };
            if !send(&mut socket, &message).await {
                return;
            }
        }
    }

    /// Handles a message of the page. Returns the answer, if any.
    async fn request(&self, text: &str, state: &live::State) -> Option<serde_json::Value> {
        let request = match Request::read(text, state) {
            Ok(request) => request,
            Err(e) => return Some(json!({ "error": e })),
        };
        if let Some(action) = request.action() {
            if state.status == Status::Running {
                self.shared.session.act(action);
            }
            return None;
        }
        match request {
            Request::End => {
                let session = self.shared.session.clone();
                tokio::task::spawn_blocking(move || session.end());
                None
            }
            _ => Some(match save(&self.shared).await {
                Ok(path) => json!({ "saved": path }),
                Err(e) => json!({ "error": format!("cannot save the report: {e:#}") }),
            }),
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

impl Default for Budget {
    fn default() -> Self {
        Budget { left: MESSAGES, since: Instant::now() }
    }
}

impl Budget {
    fn take(&mut self) -> bool {
        if self.since.elapsed() >= Duration::from_secs(1) {
            *self = Budget::default();
        }
        match self.left.checked_sub(1) {
            Some(left) => self.left = left,
            None => return false,
        }
        true
    }
}
