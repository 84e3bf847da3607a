//! An IMAP client as thin as can be: one socket, tagged commands, literals taken by their length.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;

use super::PATIENCE;

/// A session.
pub struct Imap {
    stream: BufReader<TcpStream>,
    tag: u32,
}

/// One untagged response: its text with literals cut out, and the literals.
#[derive(Debug, Clone)]
pub struct Response {
    pub text: String,
    pub literals: Vec<Vec<u8>>,
}

impl Imap {
    /// Connects without logging in.
    pub fn connect(port: u16) -> Self {
        let socket = TcpStream::connect(("127.0.0.1", port)).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.set_nodelay(true).unwrap();
        let mut session = Self { stream: BufReader::new(socket), tag: 0 };
        let greeting = session.response();
        assert!(greeting.text.starts_with("* OK"), "{greeting:?}");
        session
    }

    /// Connects and logs in.
    pub fn login(port: u16, user: &str, password: &str) -> Self {
        let mut session = Self::connect(port);
        session.ok(&format!("LOGIN {user} {password}"));
        session
    }

    /// Sends a command; returns the untagged responses and the tagged line.
    pub fn command(&mut self, command: &str) -> (Vec<Response>, String) {
        self.tag += 1;
        let tag = format!("t{} ", self.tag);
        self.stream.get_mut().write_all(format!("{tag}{command}\r\n").as_bytes()).unwrap();
        let mut responses = Vec::new();
        loop {
            let response = self.response();
            if let Some(end) = response.text.strip_prefix(&tag) {
                return (responses, end.to_owned());
            }
            responses.push(response);
        }
    }

    /// A command that must be answered OK.
    pub fn ok(&mut self, command: &str) -> Vec<Response> {
        let (responses, end) = self.command(command);
        assert!(end.starts_with("OK"), "{command}: {end}");
        responses
    }

    /// APPEND.
    pub fn append(&mut self, mailbox: &str, flags: &str, message: &[u8]) -> String {
        self.tag += 1;
        let tag = format!("t{} ", self.tag);
        let head = format!("{tag}APPEND {mailbox} ({flags}) {{{}+}}\r\n", message.len());
        self.stream.get_mut().write_all(&[head.as_bytes(), message, b"\r\n"].concat()).unwrap();
        loop {
            let response = self.response();
            if let Some(end) = response.text.strip_prefix(&tag) {
                assert!(end.starts_with("OK"), "APPEND: {end}");
                return end.to_owned();
            }
        }
    }

    /// APPEND of many messages in one command (MULTIAPPEND).
    pub fn append_all(&mut self, mailbox: &str, messages: &[Vec<u8>]) {
        self.tag += 1;
        let tag = format!("t{} ", self.tag);
        let mut command = format!("{tag}APPEND {mailbox}").into_bytes();
        for message in messages {
            command.extend_from_slice(format!(" {{{}+}}\r\n", message.len()).as_bytes());
            command.extend_from_slice(message);
        }
        command.extend_from_slice(b"\r\n");
        self.stream.get_mut().write_all(&command).unwrap();
        loop {
            let response = self.response();
            if let Some(end) = response.text.strip_prefix(&tag) {
                assert!(end.starts_with("OK"), "APPEND: {end}");
                return;
            }
        }
    }

    /// UIDs in the selected mailbox that match.
    pub fn search(&mut self, keys: &str) -> Vec<u32> {
        let responses = self.ok(&format!("UID SEARCH {keys}"));
        responses
            .iter()
            .filter_map(|response| response.text.strip_prefix("* SEARCH"))
            .flat_map(|uids| uids.split_whitespace().map(|uid| uid.parse().unwrap()).collect::<Vec<u32>>())
            .collect()
    }

    /// Messages in a mailbox, by STATUS.
    pub fn count(&mut self, mailbox: &str) -> u32 {
        let responses = self.ok(&format!("STATUS {mailbox} (MESSAGES)"));
        let text = &responses.iter().find(|r| r.text.starts_with("* STATUS")).expect("a STATUS response").text;
        let number = text.split("MESSAGES ").nth(1).unwrap();
        number.trim_end_matches(')').trim().parse().unwrap()
    }

    /// SELECTs a mailbox and finds the UIDs of messages with this subject.
    pub fn find(&mut self, mailbox: &str, subject: &str) -> Vec<u32> {
        self.ok(&format!("SELECT {mailbox}"));
        self.search(&format!("SUBJECT \"{subject}\""))
    }

    /// The flags of a message of the selected mailbox.
    pub fn flags(&mut self, uid: u32) -> String {
        let responses = self.ok(&format!("UID FETCH {uid} (FLAGS)"));
        let text = responses.iter().map(|r| r.text.clone()).find(|text| text.contains("FLAGS")).unwrap_or_default();
        text.split("FLAGS (").nth(1).and_then(|rest| rest.split(')').next()).unwrap_or("").to_owned()
    }

    /// The octets of a message of the selected mailbox.
    pub fn body(&mut self, uid: u32) -> Vec<u8> {
        let mut responses = self.ok(&format!("UID FETCH {uid} (BODY.PEEK[])"));
        responses.iter_mut().find_map(|response| response.literals.pop()).expect("a body literal")
    }

    fn response(&mut self) -> Response {
        let mut text = String::new();
        let mut literals = Vec::new();
        loop {
            let mut line = Vec::new();
            let read = self.stream.read_until(b'\n', &mut line).unwrap();
            assert!(read > 0, "the server closed the connection after {text:?}");
            let line = String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']).to_owned();
            let literal =
                line.strip_suffix('}').and_then(|rest| rest.rsplit_once('{')).and_then(|(_, n)| n.parse().ok());
            text.push_str(&line);
            let Some(length) = literal else { return Response { text, literals } };
            let mut octets = vec![0; length];
            self.stream.read_exact(&mut octets).unwrap();
            literals.push(octets);
        }
    }
}
