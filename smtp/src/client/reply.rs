//! What another server said. RFC 5321 §4.2, RFC 2034.

use crate::Enhanced;
use std::fmt;

/// What a server said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// Such as 250.
    pub code: u16,
    /// The enhanced status code, when there was one of the code's class.
    pub enhanced: Option<Enhanced>,
    /// The rest; lines joined by a space, in a 250 by a newline.
    pub text: String,
}

impl Reply {
    pub(super) fn new(code: u16, lines: Vec<String>) -> Self {
        let mut enhanced = None;
        let texts: Vec<&str> = lines
            .iter()
            .map(|line| match enhanced_of(line, code) {
                Some((found, rest)) => {
                    enhanced = Some(found);
                    rest
                }
                None => line.as_str(),
            })
            .collect();
        Self { code, enhanced, text: texts.join(if code == 250 { "\n" } else { " " }) }
    }

    pub(super) fn ours(code: u16, enhanced: Enhanced, text: impl Into<String>) -> Self {
        Self { code, enhanced: Some(enhanced), text: text.into() }
    }

    pub(super) fn is_positive(&self) -> bool {
        self.code < 400
    }

    /// RFC 5321 §3.8: the server closes the connection.
    pub(super) fn is_goodbye(&self) -> bool {
        self.code == 421
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.code)?;
        if let Some((class, subject, detail)) = self.enhanced {
            write!(f, " {class}.{subject}.{detail}")?;
        }
        write!(f, " {}", self.text)
    }
}

/// RFC 2034 §4: the code's first digit is the class.
fn enhanced_of(line: &str, code: u16) -> Option<(Enhanced, &str)> {
    let (status, rest) = line.split_once(' ').unwrap_or((line, ""));
    let mut parts = status.split('.');
    let (class, subject, detail) =
        (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    (parts.next().is_none() && u16::from(class) == code / 100).then_some(((class, subject, detail), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn enhanced_codes_are_told_from_text() {
        let reply = Reply::new(550, vec!["5.1.1 no such".into(), "5.1.1 user".into()]);
        assert_eq!((reply.enhanced, reply.text.as_str()), (Some((5, 1, 1)), "no such user"));
        let reply = Reply::new(450, vec!["5.1.1 odd".into()]);
        assert_eq!((reply.enhanced, reply.text.as_str()), (None, "5.1.1 odd"));
        assert_eq!(reply.to_string(), "450 5.1.1 odd");
    }
}
