// SPDX-License-Identifier: GPL-2.0

//! Refuses requests, except of programs that know the token, and of pages that the server has sent.
//!
//! A page of another site can make a browser connect to 127.0.0.1. The token keeps it from asking
//! for anything. A name that such a site resolves to 127.0.0.1 is not in [`Guard::hosts`].

use anyhow::{Result, anyhow};
use axum::http::header::{HOST, ORIGIN};
use axum::http::{HeaderMap, StatusCode};
use std::fmt::Write;
use subtle::ConstantTimeEq;

/// Size of the token in bytes: 128 bits cannot be guessed.
const SIZE: usize = 16;

pub struct Guard {
    token: String,
    port: u16,
}

impl Guard {
    /// Makes a random token for a server on this port.
    pub fn new(port: u16) -> Result<Guard> {
        let mut bytes = [0; SIZE];
        getrandom::fill(&mut bytes).map_err(|e| anyhow!("no random token: {e}"))?;
        let token = bytes.iter().fold(String::new(), |mut token, byte| {
            let _ = write!(token, "{byte:02x}");
            token
        });
        Ok(Guard { token, port })
    }

    /// Returns the address of the page.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/{}/", self.port, self.token)
    }

    fn hosts(&self) -> [String; 2] {
        ["127.0.0.1", "localhost"].map(|name| format!("{name}:{}", self.port))
    }

    /// Returns the path below the token, or the status that refuses the request. `needs_origin`:
    /// whether a page must have sent a request for this path.
    pub fn check<'a>(
        &self,
        path: &'a str,
        headers: &HeaderMap,
        needs_origin: impl Fn(&str) -> bool,
    ) -> Result<&'a str, StatusCode> {
        let [host, origin] = [HOST, ORIGIN].map(|name| single(headers, name.as_str()));
        let host = host?.ok_or(StatusCode::MISDIRECTED_REQUEST)?;
        if !self.hosts().contains(&host.to_owned()) {
            return Err(StatusCode::MISDIRECTED_REQUEST);
        }
        let (token, path) = path
            .strip_prefix('/')
            .and_then(|path| path.split_once('/'))
            .ok_or(StatusCode::NOT_FOUND)?;
        // Takes the same time wherever the first difference is.
        if !bool::from(token.as_bytes().ct_eq(self.token.as_bytes())) {
            return Err(StatusCode::NOT_FOUND);
        }
        match origin? {
            Some(origin) if origin == format!("http://{host}") => Ok(path),
            None if !needs_origin(path) => Ok(path),
            _ => Err(StatusCode::FORBIDDEN),
        }
    }
}

/// Returns the value of a header that may occur once.
fn single<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, StatusCode> {
    let mut values = headers.get_all(name).iter();
    let first = values.next().map(|value| value.to_str().map_err(|_| StatusCode::BAD_REQUEST));
    match values.next() {
        Some(_) => Err(StatusCode::BAD_REQUEST),
        None => first.transpose(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(path: &str, headers: &[(&'static str, &str)]) -> Result<String, u16> {
        let guard = Guard { token: "00ff".into(), port: 8080 };
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        let checked = guard.check(path, &map, |path| path == "socket");
        checked.map(str::to_owned).map_err(|status| status.as_u16())
    }

    const HERE: (&str, &str) = ("host", "127.0.0.1:8080");

    #[test]
    fn tokens_are_random_and_have_128_bits() {
        let [one, other] = [0; 2].map(|_| Guard::new(1).unwrap().token);
        assert_ne!(one, other);
        assert_eq!(one.len() * 4, 128);
        assert!(one.chars().all(|digit| digit.is_ascii_hexdigit()));
    }

    #[test]
    fn each_request_needs_the_token() {
        assert_eq!(check("/00ff/", &[HERE]), Ok("".into()));
        assert_eq!(check("/00ff/page.js", &[HERE]), Ok("page.js".into()));
        for path in ["/", "/00fe/", "/00f/", "/00ff0/", "/00ff", "//", "/00FF/", "00ff/"] {
            assert_eq!(check(path, &[HERE]), Err(404), "{path}");
        }
    }

    #[test]
    fn the_host_must_be_this_machine() {
        assert_eq!(check("/00ff/", &[("host", "localhost:8080")]), Ok("".into()));
        for host in
            ["evil.example:8080", "127.0.0.1", "127.0.0.1:80", "127.0.0.1.evil.example:8080"]
        {
            assert_eq!(check("/00ff/", &[("host", host)]), Err(421), "{host}");
        }
        assert_eq!(check("/00ff/", &[]), Err(421));
        assert_eq!(check("/00ff/", &[HERE, HERE]), Err(400));
    }

    #[test]
    fn the_origin_must_be_the_servers_page() {
        let socket = |origin| check("/00ff/socket", &[HERE, ("origin", origin)]);
        assert_eq!(socket("http://127.0.0.1:8080"), Ok("socket".into()));
        for origin in
            ["http://evil.example", "http://localhost:8080", "https://127.0.0.1:8080", "null"]
        {
            assert_eq!(socket(origin), Err(403), "{origin}");
        }
        // Other pages may not even load the script.
        assert_eq!(check("/00ff/page.js", &[HERE, ("origin", "http://evil.example")]), Err(403));
        assert_eq!(check("/00ff/socket", &[HERE]), Err(403));
    }
}
