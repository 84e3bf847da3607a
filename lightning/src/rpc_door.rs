//! As much HTTP/1.1 (RFC 9112) as a JSON-RPC client on loopback needs: POST, Content-Length, keep-alive, Basic.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures::future::BoxFuture;
use subtle::ConstantTimeEq;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::limits::{HTTP_BODY_MAX, HTTP_CONNECTIONS_MAX, HTTP_HEAD_MAX, HTTP_IDLE, HTTP_REQUEST_WITHIN};

/// What a server does with a body.
pub(crate) type Handler = Arc<dyn Fn(Vec<u8>) -> BoxFuture<'static, Answer> + Send + Sync>;

/// A body, and whether it says yes: a JSON-RPC error comes as 500.
pub(crate) struct Answer {
    pub(crate) ok: bool,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn json(answer: &serde_json::Value) -> Self {
        Self { ok: answer["error"].is_null(), body: answer.to_string().into_bytes() }
    }
}

/// Serves until it is dropped. `credentials` is `user:password`.
pub(crate) async fn serve(listener: TcpListener, credentials: &str, handler: Handler) {
    let expected: Arc<str> = format!("Basic {}", STANDARD.encode(credentials)).into();
    let slots = Arc::new(Semaphore::new(HTTP_CONNECTIONS_MAX));
    loop {
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
        let Ok((stream, _)) = listener.accept().await else {
            // Out of file descriptors: the next attempt may fare better.
            tokio::time::sleep(crate::limits::POLL_EVERY).await;
            continue;
        };
        let (expected, handler) = (Arc::clone(&expected), Arc::clone(&handler));
        tokio::spawn(async move {
            // A broken connection is the client's to repair.
            let _ = connection(stream, &expected, &handler).await;
            drop(slot);
        });
    }
}

struct Request {
    authorized: bool,
    post: bool,
    close: bool,
    body: Vec<u8>,
}

async fn connection(mut stream: TcpStream, expected: &str, handler: &Handler) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = Vec::new();
    loop {
        if buffer.is_empty() && timeout(HTTP_IDLE, stream.readable()).await.is_err() {
            return Ok(());
        }
        let Ok(request) = timeout(HTTP_REQUEST_WITHIN, read_request(&mut stream, &mut buffer, expected)).await else {
            return Ok(());
        };
        let (response, close) = match request? {
            Err(status) => (response(status, b""), true),
            Ok(None) => return Ok(()),
            Ok(Some(request)) if !request.authorized => (response("401 Unauthorized", b""), true),
            Ok(Some(request)) if !request.post => (response("405 Method Not Allowed", b""), true),
            Ok(Some(request)) => {
                let answer = handler(request.body).await;
                let status = if answer.ok { "200 OK" } else { "500 Internal Server Error" };
                (response(status, &answer.body), request.close)
            }
        };
        // One write: with two, the peer's delayed acknowledgement costs 40 ms each time.
        timeout(HTTP_REQUEST_WITHIN, stream.write_all(&response)).await.unwrap_or(Ok(()))?;
        if close {
            return Ok(());
        }
    }
}

fn response(status: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

/// One request out of `buffer` and the stream; `Ok(None)` when the peer closed between two.
async fn read_request(
    stream: &mut TcpStream,
    buffer: &mut Vec<u8>,
    expected: &str,
) -> std::io::Result<Result<Option<Request>, &'static str>> {
    let end = loop {
        if let Some(end) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
            break end + 4;
        }
        if buffer.len() > HTTP_HEAD_MAX {
            return Ok(Err("431 Request Header Fields Too Large"));
        }
        if stream.read_buf(buffer).await? == 0 {
            return Ok(if buffer.is_empty() { Ok(None) } else { Err("400 Bad Request") });
        }
    };
    let (mut request, length) = match head(&buffer[..end], expected) {
        Ok(head) => head,
        Err(status) => return Ok(Err(status)),
    };
    if length > HTTP_BODY_MAX {
        return Ok(Err("413 Content Too Large"));
    }
    while buffer.len() < end + length {
        if stream.read_buf(buffer).await? == 0 {
            return Ok(Err("400 Bad Request"));
        }
    }
    request.body = buffer[end..end + length].to_vec();
    buffer.drain(..end + length);
    Ok(Ok(Some(request)))
}

fn head(head: &[u8], expected: &str) -> Result<(Request, usize), &'static str> {
    let head = std::str::from_utf8(head).map_err(|_| "400 Bad Request")?;
    let mut lines = head.split("\r\n");
    let post = lines.next().is_some_and(|line| line.starts_with("POST "));
    let mut request = Request { authorized: false, post, close: false, body: Vec::new() };
    let mut length = 0;
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        let value = value.trim();
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.parse().map_err(|_| "400 Bad Request")?,
            "transfer-encoding" => return Err("501 Not Implemented"),
            "authorization" => request.authorized = value.as_bytes().ct_eq(expected.as_bytes()).into(),
            "connection" => request.close = value.eq_ignore_ascii_case("close"),
            _ => {}
        }
    }
    Ok((request, length))
}
