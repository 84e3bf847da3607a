//! A bitcoind's door with a cookie in front of the sandbox's RPC, which keeps user and password for its life.

use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use lightning::chain::Bitcoind;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::http::{Say, serve};

/// Lets in whoever shows what the file holds now, as a bitcoind that made it at its last start would.
pub(crate) async fn start(behind: Bitcoind, cookie: &Path) -> SocketAddr {
    let cookie = cookie.to_owned();
    serve(None, move |ask| {
        let now = std::fs::read_to_string(&cookie).unwrap();
        if ask.header("authorization") != format!("Basic {}", STANDARD.encode(now.trim())) {
            return Say::text(401, "");
        }
        let behind = behind.clone();
        tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(pass(&behind, &ask.body)))
    })
    .await
}

async fn pass(behind: &Bitcoind, body: &[u8]) -> Say {
    let mut stream = TcpStream::connect((behind.host.as_str(), behind.port)).await.unwrap();
    let login = STANDARD.encode(format!("{}:{}", behind.user, &*behind.password));
    let mut request = Vec::new();
    write!(request, "POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Basic {login}\r\n").unwrap();
    write!(request, "Content-Length: {}\r\n\r\n", body.len()).unwrap();
    request.extend_from_slice(body);
    stream.write_all(&request).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let head = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
    let status = if answer.starts_with(b"HTTP/1.1 200") { 200 } else { 500 };
    Say { status, kind: "application/json", body: answer.split_off(head + 4) }
}
