//! What a message says: the mail itself, as the recipient alone gets to see it (protocol.md §6).
//!
//! A [`Content`] is a mail split in two: the *skeleton*, every octet of the original except the large
//! attachments, and the [`Attachment`]s, each knowing where it belongs in the skeleton and how it was
//! written there. `converter` splits and joins; this module gives the halves their octets.

use serde_json::{Map, Value, json};

use crate::AttachmentRef;
use crate::jcs;
use crate::limits::{ATTACHMENTS_MAX, CONTENT_HEAD_BYTES_MAX, JSON_INTEGER_END};

/// How attachments are encrypted; the only way there is.
pub const ATTACHMENT_ALGORITHM: &str = "lnmp-stream/1";

/// The plaintext of a sealed message.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Content {
    /// The subject in Unicode, where the mail has one. For other LNMP clients: the bridge's own list
    /// views read the summary.
    pub subject: Option<String>,
    /// The files taken out of the mail, in the order of their places.
    pub attachments: Vec<Attachment>,
    /// The mail without its large attachments, byte for byte.
    pub skeleton: Vec<u8>,
}

/// A file that was taken out of a mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachment {
    /// Where it lies and how to decrypt it.
    pub reference: AttachmentRef,
    /// Its name, where the mail gave one. Never a path to write to: whoever saves it must sanitise.
    pub filename: Option<String>,
    /// Its media type, lower case, where the mail gave one.
    pub mime_type: Option<String>,
    /// Where it goes back to.
    pub place: AttachmentPlace,
}

/// Where an attachment's encoded body goes back into the skeleton, and in which writing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttachmentPlace {
    /// Offset in the skeleton before which the encoded body is inserted.
    pub at: u64,
    /// How the octets of the file become the octets of the body.
    pub encoding: Encoding,
}

/// How the octets of a file were written in the mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// As they are: the attachment holds the body's own octets.
    Verbatim,
    /// Canonical base64 (RFC 4648 §4, padded) in lines of one length.
    Base64 {
        /// Encoded characters per line but the last; a multiple of 4, not 0.
        line: u32,
        /// What ends each line.
        ending: LineEnding,
        /// Whether the last line has an ending too.
        final_ending: bool,
    },
}

/// What ends a line of a mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LineEnding {
    /// CR LF, as RFC 5322 asks.
    Crlf,
    /// A bare LF.
    Lf,
}

impl LineEnding {
    /// The octets of the ending.
    pub fn octets(self) -> &'static [u8] {
        match self {
            Self::Crlf => b"\r\n",
            Self::Lf => b"\n",
        }
    }
}

/// What is wrong with the octets of a content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ContentError {
    /// Shorter than its own lengths say.
    #[error("the content ends inside its head")]
    Truncated,
    /// The head is larger, or the attachments more, than anybody may ask us to read.
    #[error("the content's head or its list of attachments is too large")]
    TooLarge,
    /// Not JSON, or not of the shape protocol.md §6 describes. Names the field.
    #[error("the content's head is malformed at {0}")]
    Malformed(&'static str),
    /// Not a mail: a type this version does not know.
    #[error("the content is not of type \"mail\"")]
    OtherType,
}

impl Content {
    /// The octets: `u32 BE head length ‖ JCS head ‖ skeleton`.
    ///
    /// # Errors
    /// When a place lies outside the skeleton or out of order, a line length is impossible, or there are
    /// more attachments than [`ATTACHMENTS_MAX`].
    pub fn encode(&self) -> Result<Vec<u8>, ContentError> {
        check_places(&self.attachments, self.skeleton.len())?;
        let mut head = Map::new();
        head.insert("type".into(), "mail".into());
        if let Some(subject) = &self.subject {
            head.insert("subject".into(), subject.as_str().into());
        }
        head.insert("attachments".into(), self.attachments.iter().map(attachment_to_json).collect());
        let head = jcs::canonical(&Value::Object(head)).map_err(|_| ContentError::Malformed("a number"))?;
        if head.len() > CONTENT_HEAD_BYTES_MAX {
            return Err(ContentError::TooLarge);
        }
        let mut out = Vec::with_capacity(4 + head.len() + self.skeleton.len());
        out.extend_from_slice(&u32::try_from(head.len()).expect("bounded just above").to_be_bytes());
        out.extend_from_slice(&head);
        out.extend_from_slice(&self.skeleton);
        Ok(out)
    }

    /// Reads what [`Content::encode`] wrote. Fields it does not know are ignored.
    ///
    /// # Errors
    /// On any other octets; never more work than their number asks for.
    pub fn decode(mut bytes: Vec<u8>) -> Result<Self, ContentError> {
        let (subject, attachments, start) = {
            let (length, rest) = bytes.split_first_chunk::<4>().ok_or(ContentError::Truncated)?;
            let length = u32::from_be_bytes(*length) as usize;
            if length > CONTENT_HEAD_BYTES_MAX {
                return Err(ContentError::TooLarge);
            }
            let (head, skeleton) = rest.split_at_checked(length).ok_or(ContentError::Truncated)?;
            let (subject, attachments) = match plain_subject(head) {
                Some(subject) => (Some(subject.to_owned()), Vec::new()),
                None => read_head(head)?,
            };
            check_places(&attachments, skeleton.len())?;
            (subject, attachments, 4 + length)
        };
        bytes.drain(..start);
        Ok(Self { subject, attachments, skeleton: bytes })
    }
}

/// The subject of the head that most mails have: no attachments, and nothing in it that JSON would escape. Found
/// without building a tree, which would take longer than decrypting the mail.
fn plain_subject(head: &[u8]) -> Option<&str> {
    let rest = head.strip_prefix(b"{\"attachments\":[],\"subject\":\"")?;
    let subject = rest.strip_suffix(b"\",\"type\":\"mail\"}")?;
    let plain = subject.iter().all(|&octet| octet >= b' ' && octet != b'"' && octet != b'\\');
    if plain { std::str::from_utf8(subject).ok() } else { None }
}

fn read_head(head: &[u8]) -> Result<(Option<String>, Vec<Attachment>), ContentError> {
    let head: Value = serde_json::from_slice(head).map_err(|_| ContentError::Malformed("its JSON"))?;
    if head["type"] != "mail" {
        return Err(ContentError::OtherType);
    }
    let subject = text(&head, "subject")?;
    let list = match head.get("attachments") {
        None => &Vec::new(),
        Some(Value::Array(list)) if list.len() <= ATTACHMENTS_MAX => list,
        Some(Value::Array(_)) => return Err(ContentError::TooLarge),
        Some(_) => return Err(ContentError::Malformed("attachments")),
    };
    let attachments = list.iter().map(attachment_from_json).collect::<Result<Vec<_>, _>>()?;
    Ok((subject, attachments))
}

fn check_places(attachments: &[Attachment], skeleton: usize) -> Result<(), ContentError> {
    if attachments.len() > ATTACHMENTS_MAX {
        return Err(ContentError::TooLarge);
    }
    let mut from = 0;
    for Attachment { reference, place, .. } in attachments {
        if place.at < from || place.at > skeleton as u64 {
            return Err(ContentError::Malformed("place.at"));
        }
        from = place.at;
        if let Encoding::Base64 { line, .. } = place.encoding
            && (line == 0 || line % 4 != 0)
        {
            return Err(ContentError::Malformed("place.line"));
        }
        // Four thirds of it must still be a length.
        if reference.size >= JSON_INTEGER_END / 2 {
            return Err(ContentError::Malformed("size"));
        }
    }
    Ok(())
}

fn attachment_to_json(attachment: &Attachment) -> Value {
    let Attachment { reference, filename, mime_type, place } = attachment;
    let mut object = json!({
        "ipfsHash": reference.cid,
        "size": reference.size,
        "algorithm": ATTACHMENT_ALGORITHM,
        "encryptionKey": hex::encode(reference.key),
        "checksums": { "sha256": hex::encode(reference.sha256) },
        "place": match place.encoding {
            Encoding::Verbatim => json!({ "at": place.at, "encoding": "verbatim" }),
            Encoding::Base64 { line, ending, final_ending } => json!({
                "at": place.at,
                "encoding": "base64",
                "line": line,
                "ending": match ending { LineEnding::Crlf => "crlf", LineEnding::Lf => "lf" },
                "finalEnding": final_ending,
            }),
        },
    });
    for (key, value) in [("filename", filename), ("mimeType", mime_type)] {
        if let Some(value) = value {
            object[key] = value.as_str().into();
        }
    }
    object
}

fn attachment_from_json(object: &Value) -> Result<Attachment, ContentError> {
    if object["algorithm"] != ATTACHMENT_ALGORITHM {
        return Err(ContentError::Malformed("algorithm"));
    }
    let place = &object["place"];
    let encoding = match place["encoding"].as_str() {
        Some("verbatim") => Encoding::Verbatim,
        Some("base64") => Encoding::Base64 {
            line: number(place, "line")?.try_into().map_err(|_| ContentError::Malformed("place.line"))?,
            ending: match place["ending"].as_str() {
                Some("crlf") => LineEnding::Crlf,
                Some("lf") => LineEnding::Lf,
                _ => return Err(ContentError::Malformed("place.ending")),
            },
            final_ending: place["finalEnding"].as_bool().ok_or(ContentError::Malformed("place.finalEnding"))?,
        },
        _ => return Err(ContentError::Malformed("place.encoding")),
    };
    Ok(Attachment {
        reference: AttachmentRef {
            cid: text(object, "ipfsHash")?.ok_or(ContentError::Malformed("ipfsHash"))?,
            key: octets(&object["encryptionKey"], "encryptionKey")?,
            size: number(object, "size")?,
            sha256: octets(&object["checksums"]["sha256"], "checksums.sha256")?,
        },
        filename: text(object, "filename")?,
        mime_type: text(object, "mimeType")?,
        place: AttachmentPlace { at: number(place, "at")?, encoding },
    })
}

fn text(object: &Value, key: &'static str) -> Result<Option<String>, ContentError> {
    match object.get(key) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(ContentError::Malformed(key)),
    }
}

fn number(object: &Value, key: &'static str) -> Result<u64, ContentError> {
    object.get(key).and_then(Value::as_u64).filter(|n| *n < JSON_INTEGER_END).ok_or(ContentError::Malformed(key))
}

fn octets(value: &Value, key: &'static str) -> Result<[u8; 32], ContentError> {
    let mut out = [0; 32];
    let text = value.as_str().ok_or(ContentError::Malformed(key))?;
    hex::decode_to_slice(text, &mut out).map_err(|_| ContentError::Malformed(key))?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attachment(at: u64, encoding: Encoding) -> Attachment {
        Attachment {
            reference: AttachmentRef { cid: "bafy".into(), key: [1; 32], size: 70_000, sha256: [2; 32] },
            filename: Some("\"ü\"\n.pdf".into()),
            mime_type: None,
            place: AttachmentPlace { at, encoding },
        }
    }

    fn sample() -> Content {
        let base64 = Encoding::Base64 { line: 76, ending: LineEnding::Crlf, final_ending: true };
        Content {
            subject: Some("Grüße 😀".into()),
            attachments: vec![attachment(3, base64), attachment(3, Encoding::Verbatim)],
            skeleton: b"a\r\nb\xff\0".to_vec(),
        }
    }

    #[test]
    fn a_content_survives_its_octets() {
        for content in [sample(), Content::default(), Content { subject: Some(String::new()), ..Content::default() }] {
            assert_eq!(Content::decode(content.encode().unwrap()).unwrap(), content);
        }
    }

    #[test]
    fn every_truncation_and_every_changed_octet_is_an_error_or_another_content() {
        let bytes = sample().encode().unwrap();
        for end in 0..bytes.len() {
            // A cut in the skeleton shows only when a place falls outside it: the AEAD guards the rest.
            let _ = Content::decode(bytes[..end].to_vec());
        }
        for at in 0..bytes.len() {
            for bit in [0x01, 0x80] {
                let mut bytes = bytes.clone();
                bytes[at] ^= bit;
                let _ = Content::decode(bytes);
            }
        }
        assert_eq!(Content::decode(bytes[..3].to_vec()), Err(ContentError::Truncated));
        assert_eq!(Content::decode(vec![255; 64]), Err(ContentError::TooLarge));
        let deep = [b"\0\0\x27\x10".as_slice(), &[b'['; 10_000]].concat();
        assert_eq!(Content::decode(deep), Err(ContentError::Malformed("its JSON")));
    }

    #[test]
    fn a_head_reads_alike_with_and_without_a_json_tree() {
        let subjects =
            ["", "figs", "Gr\u{fc}\u{df}e", "a \"b\"", "back\\slash", "tab\there", "\u{7f}", "\",\"type\":\"x"];
        let mut plain = 0;
        for subject in subjects {
            let content = Content { subject: Some(subject.into()), skeleton: b"x".to_vec(), ..Content::default() };
            let bytes = content.encode().unwrap();
            let head = &bytes[4..bytes.len() - 1];
            assert_eq!(read_head(head), Ok((Some(subject.to_owned()), Vec::new())));
            plain += usize::from(plain_subject(head).is_some_and(|found| found == subject));
            assert_eq!(Content::decode(bytes).unwrap(), content);
        }
        assert_eq!(plain, 4);
    }

    #[test]
    fn impossible_places_are_refused_both_ways() {
        let bad_line = Encoding::Base64 { line: 75, ending: LineEnding::Lf, final_ending: false };
        for (list, field) in [
            (vec![attachment(7, Encoding::Verbatim)], "place.at"),
            (vec![attachment(3, Encoding::Verbatim), attachment(2, Encoding::Verbatim)], "place.at"),
            (vec![attachment(0, bad_line)], "place.line"),
        ] {
            let content = Content { attachments: list, ..sample() };
            assert_eq!(content.encode(), Err(ContentError::Malformed(field)));
        }
        let mut head =
            br#"{"attachments":[{"algorithm":"lnmp-stream/1","checksums":{"sha256":"00"}}],"type":"mail"}"#.to_vec();
        let mut bytes = (head.len() as u32).to_be_bytes().to_vec();
        bytes.append(&mut head);
        assert!(matches!(Content::decode(bytes), Err(ContentError::Malformed(_))));
        assert_eq!(Content::decode(b"\0\0\0\x02{}".to_vec()), Err(ContentError::OtherType));
    }
}
