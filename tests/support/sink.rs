//! A stranger's own SMTP server: takes every mail and keeps it.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// One mail that arrived.
#[derive(Debug, Clone)]
pub struct Mail {
    pub from: String,
    pub to: Vec<String>,
    pub message: Vec<u8>,
    /// Something came behind our 250: it was read.
    pub confirmed: bool,
}

impl Mail {
    /// The message as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.message).into_owned()
    }

    /// The first BOLT11 invoice of the regtest chain in it, quoted-printable soft breaks taken out.
    pub fn bolt11(&self) -> Option<String> {
        let text = self.text().replace("=\r\n", "");
        let at = text.find("lnbcrt")?;
        Some(text[at..].chars().take_while(char::is_ascii_alphanumeric).collect())
    }
}

/// What it does with a recipient, when not simply 250.
type Answer = Box<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// The server; gone with the test process.
pub struct Sink {
    pub port: u16,
    mails: Arc<Mutex<Vec<Mail>>>,
    connections: Arc<AtomicUsize>,
}

impl Sink {
    /// Takes everything.
    pub fn start() -> Self {
        Self::answering(|_| None)
    }

    /// Answers RCPT with what `answer` gives, else 250.
    pub fn answering(answer: impl Fn(&str) -> Option<String> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let mails: Arc<Mutex<Vec<Mail>>> = Arc::default();
        let (kept, answer): (_, Arc<Answer>) = (Arc::clone(&mails), Arc::new(Box::new(answer)));
        let connections: Arc<AtomicUsize> = Arc::default();
        let counted = Arc::clone(&connections);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                counted.fetch_add(1, Ordering::SeqCst);
                let (kept, answer) = (Arc::clone(&kept), Arc::clone(&answer));
                std::thread::spawn(move || serve(stream, &kept, &answer));
            }
        });
        Self { port, mails, connections }
    }

    /// The route line of a config for `domain`.
    pub fn route(&self, domain: &str) -> String {
        format!("[routes]\n\"{domain}\" = \"127.0.0.1:{}\"\n", self.port)
    }

    /// How often somebody connected.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// What arrived.
    pub fn mails(&self) -> Vec<Mail> {
        self.mails.lock().unwrap().clone()
    }

    /// Waits for a mail to `to`.
    pub fn wait_for(&self, to: &str) -> Mail {
        super::eventually(&format!("a mail to {to} arrives"), || {
            self.mails().into_iter().find(|mail| mail.to.iter().any(|one| one == to))
        })
    }
}

fn serve(stream: TcpStream, kept: &Mutex<Vec<Mail>>, answer: &Answer) -> Option<()> {
    let mut writer = stream.try_clone().ok()?;
    let mut reader = BufReader::new(stream);
    writer.write_all(b"220 sink ESMTP\r\n").ok()?;
    let (mut from, mut to) = (String::new(), Vec::new());
    let mut unconfirmed = None;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if let Some(number) = unconfirmed.take() {
            let mut kept = kept.lock().ok()?;
            let mail: &mut Mail = kept.get_mut::<usize>(number)?;
            mail.confirmed = true;
        }
        let upper = line.to_ascii_uppercase();
        let path = || line.split(['<', '>']).nth(1).unwrap_or("").to_owned();
        let reply = if upper.starts_with("EHLO") {
            "250-sink\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250 PIPELINING".to_owned()
        } else if upper.starts_with("MAIL") {
            from = path();
            to.clear();
            "250 2.1.0 ok".to_owned()
        } else if upper.starts_with("RCPT") {
            match answer(&path()) {
                Some(refusal) => refusal,
                None => {
                    to.push(path());
                    "250 2.1.5 ok".to_owned()
                }
            }
        } else if upper.starts_with("DATA") {
            if to.is_empty() {
                writer.write_all(b"503 5.5.1 no recipients\r\n").ok()?;
                continue;
            }
            writer.write_all(b"354 go\r\n").ok()?;
            let message = data(&mut reader)?;
            let mut kept = kept.lock().ok()?;
            unconfirmed = Some(kept.len());
            kept.push(Mail { from: from.clone(), to: to.clone(), message, confirmed: false });
            "250 2.0.0 taken".to_owned()
        } else if upper.starts_with("QUIT") {
            let _ = writer.write_all(b"221 2.0.0 bye\r\n");
            return Some(());
        } else {
            "250 2.0.0 ok".to_owned()
        };
        writer.write_all(format!("{reply}\r\n").as_bytes()).ok()?;
    }
}

fn data(reader: &mut impl BufRead) -> Option<Vec<u8>> {
    let mut message = Vec::new();
    loop {
        let mut line = Vec::new();
        if reader.read_until(b'\n', &mut line).ok()? == 0 {
            return None;
        }
        if line == b".\r\n" {
            return Some(message);
        }
        message.extend_from_slice(line.strip_prefix(b".").unwrap_or(&line));
    }
}
