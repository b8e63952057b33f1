//! One HTTP request: what is wanted, and the answer's bytes.
//!
//! The parser is httparse; what is understood here is the little that a scraper or a load balancer sends.
//! Every connection carries one request: there is nothing to be gained by more.
//!
//! Must never: look at a body, or believe a length.

use std::io::Write as _;

/// What a request asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Request {
    /// Which page.
    pub(super) page: Page,
    /// Its head alone (method HEAD).
    pub(super) head_only: bool,
    /// The reader prefers OpenMetrics.
    pub(super) open_metrics: bool,
}

/// The pages there are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Page {
    /// Where to find the others.
    Index,
    /// The metrics.
    Metrics,
    /// Whether clients would believe what they are told.
    Ready,
    /// Whether the program is in order.
    Health,
}

impl Page {
    /// Every page, with its path.
    pub(super) const ALL: [(Self, &'static str); 4] = [
        (Self::Index, "/"),
        (Self::Metrics, "/metrics"),
        (Self::Ready, "/ready"),
        (Self::Health, "/health"),
    ];
}

/// How a request is answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Code {
    /// 200.
    Ok,
    /// 400: no HTTP.
    BadRequest,
    /// 403: a stranger.
    Forbidden,
    /// 404: no such page.
    NotFound,
    /// 405: another method than GET and HEAD.
    MethodNotAllowed,
    /// 431: a request too long.
    TooLarge,
    /// 503: not ready, or not healthy.
    Unavailable,
}

impl Code {
    /// Every code, in the order of their counters.
    pub(super) const ALL: [Self; 7] = [
        Self::Ok,
        Self::BadRequest,
        Self::Forbidden,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::TooLarge,
        Self::Unavailable,
    ];

    /// Its number.
    pub(super) const fn number(self) -> u16 {
        match self {
            Self::Ok => 200,
            Self::BadRequest => 400,
            Self::Forbidden => 403,
            Self::NotFound => 404,
            Self::MethodNotAllowed => 405,
            Self::TooLarge => 431,
            Self::Unavailable => 503,
        }
    }

    const fn reason(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::BadRequest => "Bad Request",
            Self::Forbidden => "Forbidden",
            Self::NotFound => "Not Found",
            Self::MethodNotAllowed => "Method Not Allowed",
            Self::TooLarge => "Request Header Fields Too Large",
            Self::Unavailable => "Service Unavailable",
        }
    }
}

/// Reads the request that `bytes` begin with; `None` if it has no end yet.
pub(super) fn parse(bytes: &[u8]) -> Option<Result<Request, Code>> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut request = httparse::Request::new(&mut headers);
    match request.parse(bytes) {
        Ok(httparse::Status::Partial) if bytes.len() < REQUEST_MAX => None,
        Ok(httparse::Status::Partial) | Err(httparse::Error::TooManyHeaders) => {
            Some(Err(Code::TooLarge))
        }
        Err(_) => Some(Err(Code::BadRequest)),
        Ok(httparse::Status::Complete(_)) => Some(understand(&request)),
    }
}

fn understand(request: &httparse::Request<'_, '_>) -> Result<Request, Code> {
    let head_only = match request.method {
        Some("GET") => false,
        Some("HEAD") => true,
        _ => return Err(Code::MethodNotAllowed),
    };
    let path = request.path.unwrap_or_default();
    // Load balancers like to add a query of their own.
    let path = path.split_once('?').map_or(path, |(path, _)| path);
    let page = Page::ALL.iter().find(|(_, known)| *known == path).ok_or(Code::NotFound)?.0;
    let open_metrics = request.headers.iter().any(|header| {
        let value = str::from_utf8(header.value).unwrap_or_default();
        header.name.eq_ignore_ascii_case("accept")
            && value.split(',').any(|kind| kind.trim().starts_with(OPEN_METRICS))
    });
    Ok(Request { page, head_only, open_metrics })
}

/// The bytes of an answer with this text.
pub(super) fn answer(code: Code, kind: &str, text: &str, head_only: bool) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len() + 256);
    // Writing to memory cannot fail.
    let _ = write!(
        bytes,
        "HTTP/1.1 {} {}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\
         Cache-Control: no-store\r\nConnection: close\r\n\r\n",
        code.number(),
        code.reason(),
        text.len()
    );
    if !head_only {
        bytes.extend_from_slice(text.as_bytes());
    }
    bytes
}

/// The type of a page for people.
pub(super) const TEXT: &str = "text/plain; charset=utf-8";
const OPEN_METRICS: &str = "application/openmetrics-text";
const HEADERS_MAX: usize = 64;
/// The longest request; Prometheus sends some four hundred bytes.
pub(super) const REQUEST_MAX: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    fn page(text: &str) -> Option<Result<Page, Code>> {
        parse(text.as_bytes()).map(|read| read.map(|request| request.page))
    }

    #[test]
    fn a_request_is_read_when_it_has_ended_and_not_before() {
        let whole = "GET /metrics HTTP/1.1\r\nHost: a\r\nAccept: text/plain\r\n\r\n";
        for end in 0..whole.len() {
            assert_eq!(page(&whole[..end]), None, "{end}");
        }
        assert_eq!(page(whole), Some(Ok(Page::Metrics)));
        assert_eq!(page("GET /ready?from=lb HTTP/1.0\r\n\r\n"), Some(Ok(Page::Ready)));
        let head = parse(b"HEAD /health HTTP/1.1\r\n\r\n").unwrap().unwrap();
        assert_eq!((head.page, head.head_only), (Page::Health, true));
    }

    #[test]
    fn open_metrics_is_for_those_who_ask_for_it() {
        for (accept, expected) in [
            ("text/plain;version=0.0.4", false),
            ("application/openmetrics-text; version=1.0.0; q=0.5,text/plain;q=0.3", true),
            ("*/*", false),
        ] {
            let request = format!("GET /metrics HTTP/1.1\r\naCCept: {accept}\r\n\r\n");
            let read = parse(request.as_bytes()).unwrap().unwrap();
            assert_eq!(read.open_metrics, expected, "{accept}");
        }
    }

    #[test]
    fn what_is_not_understood_is_refused_by_its_code() {
        assert_eq!(page("GET /etc HTTP/1.1\r\n\r\n"), Some(Err(Code::NotFound)));
        assert_eq!(page("POST /metrics HTTP/1.1\r\n\r\n"), Some(Err(Code::MethodNotAllowed)));
        assert_eq!(page("\u{16}\u{3}\u{1}\r\n\r\n"), Some(Err(Code::BadRequest)), "TLS");
        let long = format!("GET /{} HTTP/1.1\r\n", "x".repeat(REQUEST_MAX));
        assert_eq!(page(&long), Some(Err(Code::TooLarge)));
        let many = format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(HEADERS_MAX + 1));
        assert_eq!(page(&many), Some(Err(Code::TooLarge)));
    }
}
