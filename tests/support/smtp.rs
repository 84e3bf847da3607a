//! An SMTP client as thin as can be: whole replies, exact octets.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;

use base64::Engine as _;

use super::PATIENCE;

/// A session.
pub struct Smtp {
    stream: BufReader<TcpStream>,
}

impl Smtp {
    /// Connects and says EHLO.
    pub fn connect(port: u16) -> Self {
        let mut session = Self::greeted(port);
        session.expect("250", "EHLO client.test");
        session
    }

    /// Connects and reads the greeting.
    pub fn greeted(port: u16) -> Self {
        let socket = TcpStream::connect(("127.0.0.1", port)).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.set_nodelay(true).unwrap();
        let mut session = Self { stream: BufReader::new(socket) };
        let greeting = session.reply();
        assert!(greeting.starts_with("220"), "{greeting}");
        session
    }

    /// Connects to submission and logs in.
    pub fn login(port: u16, user: &str, password: &str) -> Self {
        let mut session = Self::connect(port);
        let plain = base64::engine::general_purpose::STANDARD.encode(format!("\0{user}\0{password}"));
        session.expect("235", &format!("AUTH PLAIN {plain}"));
        session
    }

    /// Sends octets as they are.
    pub fn write(&mut self, octets: &[u8]) {
        self.stream.get_mut().write_all(octets).unwrap();
    }

    /// One reply, its lines joined by line feeds; empty when the server closed the connection.
    pub fn reply(&mut self) -> String {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            if self.stream.read_line(&mut line).unwrap_or(0) == 0 {
                return lines.join("\n");
            }
            let more = line.as_bytes().get(3) == Some(&b'-');
            lines.push(line.trim_end().to_owned());
            if !more {
                return lines.join("\n");
            }
        }
    }

    /// Whatever comes until the server closes the connection.
    pub fn read_to_end(&mut self, octets: &mut Vec<u8>) {
        // A reset is an end, too.
        let _ = self.stream.read_to_end(octets);
    }

    /// A command and its reply.
    pub fn command(&mut self, command: &str) -> String {
        self.write(format!("{command}\r\n").as_bytes());
        self.reply()
    }

    /// A command whose reply must begin with `code`.
    pub fn expect(&mut self, code: &str, command: &str) -> String {
        let reply = self.command(command);
        assert!(reply.starts_with(code), "{command}: {reply}");
        reply
    }

    /// MAIL and RCPT, which must be taken.
    pub fn envelope(&mut self, from: &str, to: &str) {
        self.expect("250", &format!("MAIL FROM:<{from}>"));
        self.expect("250", &format!("RCPT TO:<{to}>"));
    }

    /// One mail whose envelope must be taken; returns the reply to its content. `message` ends in CRLF.
    pub fn mail(&mut self, from: &str, to: &str, message: &[u8]) -> String {
        assert!(message.ends_with(b"\r\n"), "DATA ends with a line end");
        self.envelope(from, to);
        self.expect("354", "DATA");
        self.write(&[&stuffed(message)[..], b".\r\n"].concat());
        self.reply()
    }
}

/// RFC 5321 §4.5.2: a dot before every dot that begins a line.
pub fn stuffed(message: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(message.len() + 64);
    for line in message.split_inclusive(|&octet| octet == b'\n') {
        if line.starts_with(b".") {
            out.push(b'.');
        }
        out.extend_from_slice(line);
    }
    out
}

/// Sends one mail in a session of its own; it must be taken.
pub fn send(port: u16, from: &str, to: &str, message: &[u8]) {
    let reply = Smtp::connect(port).mail(from, to, message);
    assert!(reply.starts_with("250"), "from {from} to {to}: {reply}");
}

/// A small plain mail.
pub fn plain(from: &str, to: &str, subject: &str, text: &str) -> Vec<u8> {
    let id = subject.replace(' ', ".");
    let head = format!("From: <{from}>\r\nTo: <{to}>\r\nSubject: {subject}\r\n");
    let rest =
        format!("Date: Sat, 21 Nov 2026 10:00:00 +0000\r\nMessage-ID: <{id}@{}>\r\n\r\n{text}\r\n", domain(from));
    format!("{head}{rest}").into_bytes()
}

/// What follows the `@`.
pub fn domain(address: &str) -> &str {
    address.rsplit_once('@').unwrap().1
}

/// A fetched message without what Satchel put on top: Return-Path down to the first Received field.
pub fn without_trace(fetched: &[u8]) -> &[u8] {
    assert!(
        fetched.starts_with(b"Return-Path: <"),
        "no trace: {}",
        String::from_utf8_lossy(&fetched[..fetched.len().min(300)])
    );
    let mut at = 0;
    let mut in_received = false;
    while at < fetched.len() {
        let line = fetched[at..].split_inclusive(|&octet| octet == b'\n').next().unwrap();
        let folded = line.starts_with(b" ") || line.starts_with(b"\t");
        if in_received && !folded {
            break;
        }
        in_received |= line.starts_with(b"Received:");
        let ours = ["Return-Path:", "LNMP-", "Authentication-Results:", "Received:"];
        assert!(
            folded || ours.iter().any(|name| line.starts_with(name.as_bytes())),
            "not a trace field of ours: {}",
            String::from_utf8_lossy(line)
        );
        at += line.len();
    }
    &fetched[at..]
}
