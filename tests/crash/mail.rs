//! Mails made from a number, so that what arrived can be compared with what was sent.

use std::collections::HashMap;

use crate::support::Chance;
use crate::support::imap::Imap;

/// The accounts, in the order the tests count them.
pub const RECIPIENTS: [&str; 2] = ["alice@satchel.test", "bob@satchel.test"];

/// One mail.
pub struct Mail {
    pub from: String,
    to: Vec<usize>,
    pub message: Vec<u8>,
}

impl Mail {
    /// The mail of a number: 1 to 200 KiB, one in six with an attachment that goes to IPFS, one in eight to both
    /// accounts, half of them from a friend.
    pub fn new(seed: u64, number: u64) -> Self {
        let mut chance = Chance::new(seed ^ (number + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let from = match chance.below(2) {
            0 => "friend@pal.test".to_owned(),
            _ => format!("author{}@shop{}.test", chance.below(1000), chance.below(100)),
        };
        let to = match chance.below(8) {
            0 => vec![0, 1],
            1 => vec![1],
            _ => vec![0],
        };
        let recipients = to.iter().map(|who| format!("<{}>", RECIPIENTS[*who])).collect::<Vec<_>>().join(", ");
        let mut message = format!(
            "From: <{from}>\r\nTo: {recipients}\r\nSubject: load {number}\r\nMessage-ID: <{number}.load@{}>\r\nX-Load: {number}\r\nMIME-Version: 1.0\r\n",
            from.split('@').nth(1).unwrap()
        )
        .into_bytes();
        if chance.below(6) == 0 {
            let attachment = {
                let size = 64 * 1024 + chance.below(70 * 1024) as usize;
                chance.bytes(size)
            };
            message.extend_from_slice(
                b"Content-Type: multipart/mixed; boundary=\"b\"\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\n",
            );
            text(&mut message, &mut chance, 1);
            message.extend_from_slice(b"--b\r\nContent-Type: application/octet-stream; name=\"a.bin\"\r\nContent-Disposition: attachment; filename=\"a.bin\"\r\nContent-Transfer-Encoding: base64\r\n\r\n");
            base64(&mut message, &attachment);
            message.extend_from_slice(b"--b--\r\n");
        } else {
            let kib = if chance.below(8) == 0 { 8 + chance.below(190) } else { 1 + chance.below(7) };
            message.extend_from_slice(b"Content-Type: text/plain\r\n\r\n");
            text(&mut message, &mut chance, kib);
        }
        Self { from, to, message }
    }

    /// Whether it goes to an account.
    pub fn is_for(&self, who: usize) -> bool {
        self.to.contains(&who)
    }

    /// The addresses it goes to.
    pub fn recipients(&self) -> Vec<&'static str> {
        self.to.iter().map(|who| RECIPIENTS[*who]).collect()
    }
}

fn text(out: &mut Vec<u8>, chance: &mut Chance, kib: u64) {
    for _ in 0..kib * 16 {
        let line = format!(
            "{:016x}{:016x}{:016x}{:014x}\r\n",
            chance.next(),
            chance.next(),
            chance.next(),
            chance.next() >> 8
        );
        out.extend_from_slice(line.as_bytes());
    }
}

fn base64(out: &mut Vec<u8>, bytes: &[u8]) {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for line in bytes.chunks(57) {
        for group in line.chunks(3) {
            let word = group.iter().fold(0_u32, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
            for place in 0..4 {
                let digit = ALPHABET[(word >> (18 - 6 * place)) as usize & 63];
                out.push(if place > group.len() { b'=' } else { digit });
            }
        }
        out.extend_from_slice(b"\r\n");
    }
}

/// Every mail of the load that an account has, over all folders: its number, and how many copies. Each is compared, octet
/// by octet, with what was sent.
pub fn all_of(port: u16, user: &str, password: &str, seed: u64) -> HashMap<u64, u32> {
    let mut imap = Imap::login(port, user, &format!("\"{password}\""));
    let folders: Vec<String> = imap
        .ok("LIST \"\" *")
        .iter()
        .filter(|response| response.text.starts_with("* LIST"))
        .map(|response| response.text.rsplit(' ').next().unwrap().to_owned())
        .collect();
    assert!(folders.len() >= 8, "{folders:?}");
    let mut found = HashMap::new();
    for folder in folders {
        if imap.count(&folder) == 0 {
            continue;
        }
        imap.ok(&format!("EXAMINE {folder}"));
        for response in imap.ok("UID FETCH 1:* (BODY.PEEK[])") {
            let Some(body) = response.literals.first() else { continue };
            let Some(number) = number(body) else { continue };
            let sent = Mail::new(seed, number).message;
            assert!(body.ends_with(&sent), "mail {number} in {folder} of {user} is not what was sent");
            *found.entry(number).or_insert(0) += 1;
        }
    }
    found
}

fn number(body: &[u8]) -> Option<u64> {
    let head = &body[..body.len().min(8192)];
    let text = String::from_utf8_lossy(head);
    let (_, rest) = text.split_once("\r\nX-Load: ")?;
    rest.split("\r\n").next()?.parse().ok()
}
