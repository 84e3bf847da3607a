//! What SASL mechanisms say: PLAIN (RFC 4616), LOGIN (of Outlook; never standardised), OAUTHBEARER (RFC 7628).
//!
//! Each carries a secret that unlocks the account's key. Mechanisms that only prove one, like SCRAM, are absent on
//! purpose (design section 5).

use base64::Engine as _;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use zeroize::Zeroizing;

use crate::reply::{Stop, Tagged};

/// Some clients leave the padding off.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// LOGIN's challenges: old Outlook wants exactly these words (mail.md quirk 6).
const USER: &[u8] = b"Username:";
pub(super) const PASSWORD: &[u8] = b"Password:";

/// RFC 7628 §3.2.2: why a token is refused. We name no issuer: our tokens are made by `satchel account app-password`.
pub(super) const OAUTH_REFUSAL: &[u8] = br#"{"status":"invalid_token"}"#;

/// A mechanism we have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mechanism {
    Plain,
    Login,
    OauthBearer,
}

/// What a client's first message says.
#[derive(PartialEq, Eq)]
pub(super) enum Said {
    Password {
        user: String,
        password: Zeroizing<String>,
    },
    /// LOGIN: the password comes next.
    User(String),
    Token {
        user: Option<String>,
        token: Zeroizing<String>,
    },
}

impl Mechanism {
    pub(super) fn named(name: &str) -> Option<Self> {
        match name.to_ascii_uppercase().as_str() {
            "PLAIN" => Some(Self::Plain),
            "LOGIN" => Some(Self::Login),
            "OAUTHBEARER" => Some(Self::OauthBearer),
            _ => None,
        }
    }

    /// What is said to a client that sent nothing with its command.
    pub(super) fn first_challenge(self) -> &'static [u8] {
        match self {
            Self::Plain | Self::OauthBearer => b"",
            Self::Login => USER,
        }
    }

    /// Reads the client's first message.
    pub(super) fn read(self, message: &[u8]) -> Result<Said, Stop> {
        let said = match self {
            Self::Plain => plain(message)?,
            Self::Login => text(Zeroizing::new(message.to_vec())).ok().map(|user| Said::User((*user).clone())),
            Self::OauthBearer => oauth(message)?,
        };
        said.ok_or_else(|| {
            Tagged::bad(match self {
                Self::Plain => "Invalid PLAIN message, it is [authzid] NUL authcid NUL passwd (RFC 4616)",
                Self::Login => "The user name is not UTF-8",
                Self::OauthBearer => "Invalid OAUTHBEARER message, see RFC 7628 section 3.1",
            })
            .into()
        })
    }
}

fn somebody_else() -> Stop {
    Tagged::no("[AUTHORIZATIONFAILED] Acting for somebody else is not possible").into()
}

/// RFC 4616 §2: `[authzid] NUL authcid NUL passwd`.
fn plain(message: &[u8]) -> Result<Option<Said>, Stop> {
    let Ok(message) = std::str::from_utf8(message) else { return Ok(None) };
    let parts: Vec<&str> = message.split('\0').collect();
    match parts[..] {
        [_, "", _] => Ok(None),
        [acts_as, user, _] if !acts_as.is_empty() && acts_as != user => Err(somebody_else()),
        [_, user, password] => {
            Ok(Some(Said::Password { user: user.to_owned(), password: Zeroizing::new(password.to_owned()) }))
        }
        _ => Ok(None),
    }
}

/// RFC 7628 §3.1: a GS2 header, then `key=value` pairs, each behind a ^A, ended by two of them. Of the keys only `auth`
/// means something to us (`host` and `port` are for servers that share a token between names).
fn oauth(message: &[u8]) -> Result<Option<Said>, Stop> {
    let Ok(message) = std::str::from_utf8(message) else { return Ok(None) };
    let Some((header, pairs)) = message.split_once('\x01') else { return Ok(None) };
    // RFC 5801 §4: no channel binding is known to us: `n` or `y`; `a=` names the user, `,` and `=` in it escaped.
    let mut fields = header.split(',');
    let (binding, user, rest) = (fields.next(), fields.next(), fields.next());
    if !matches!(binding, Some("n" | "y")) || rest != Some("") || fields.next().is_some() {
        return Ok(None);
    }
    let user = match user {
        Some("") => None,
        Some(user) => match user.strip_prefix("a=") {
            Some(user) => Some(user.replace("=2C", ",").replace("=3D", "=")),
            None => return Ok(None),
        },
        None => return Ok(None),
    };
    let Some(pairs) = pairs.strip_suffix("\x01\x01") else { return Ok(None) };
    let auth = pairs.split('\x01').find_map(|pair| pair.strip_prefix("auth="));
    let bearer = auth.and_then(|auth| auth.split_once(' ')).filter(|(scheme, _)| scheme.eq_ignore_ascii_case("Bearer"));
    Ok(bearer.map(|(_, token)| Said::Token { user, token: Zeroizing::new(token.trim().to_owned()) }))
}

/// A message that is nothing but a text.
pub(super) fn text(message: Zeroizing<Vec<u8>>) -> Result<Zeroizing<String>, Stop> {
    match std::str::from_utf8(&message) {
        Ok(text) => Ok(Zeroizing::new(text.to_owned())),
        Err(_) => Err(Tagged::bad("Name and password must be UTF-8").into()),
    }
}

pub(super) fn encoded(challenge: &[u8]) -> String {
    BASE64.encode(challenge)
}

/// RFC 4959 §3: `=` is an empty message.
pub(super) fn decode(line: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    if line == b"=" {
        return Some(Zeroizing::default());
    }
    BASE64.decode(line).ok().map(Zeroizing::new)
}

/// Whether a line that should be base64 is a LOGOUT command, its tag in front.
pub(super) fn is_logout(line: &[u8]) -> bool {
    let word = line.split(|&octet| octet == b' ').nth(1);
    word.is_some_and(|word| word.eq_ignore_ascii_case(b"LOGOUT"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn password(message: &[u8]) -> Option<(String, String)> {
        match Mechanism::Plain.read(message) {
            Ok(Said::Password { user, password }) => Some((user, (*password).clone())),
            _ => None,
        }
    }

    fn token(message: &str) -> Option<(Option<String>, String)> {
        match Mechanism::OauthBearer.read(message.as_bytes()) {
            Ok(Said::Token { user, token }) => Some((user, (*token).clone())),
            _ => None,
        }
    }

    #[test]
    fn plain_messages_are_taken_apart() {
        assert_eq!(password(b"\0user\0pass"), Some(("user".into(), "pass".into())));
        assert_eq!(password(b"user\0user\0"), Some(("user".into(), String::new())));
        for message in [&b""[..], b"user\0pass", b"\0user\0pass\0", b"\0\0pass", b"\0\xff\0pass", b"other\0user\0pass"]
        {
            assert_eq!(password(message), None);
        }
    }

    #[test]
    fn bearer_messages_are_taken_apart() {
        let example =
            "n,a=user@example.com,\x01host=server.example.com\x01port=143\x01auth=Bearer vF9dft4qmTc2\x01\x01";
        assert_eq!(token(example), Some((Some("user@example.com".into()), "vF9dft4qmTc2".into())));
        assert_eq!(token("y,,\x01auth=bearer x\x01\x01"), Some((None, "x".into())));
        assert_eq!(token("n,a=a=2Cb=3D,\x01auth=Bearer x\x01\x01"), Some((Some("a,b=".into()), "x".into())));
        for message in [
            "",
            "n,a=x,",
            "p=tls-unique,a=x,\x01auth=Bearer x\x01\x01",
            "n,b=x,\x01auth=Bearer x\x01\x01",
            "n,a=x,\x01auth=Bearer x\x01",
            "n,a=x,\x01auth=Basic x\x01\x01",
            "n,a=x,\x01\x01",
            "n,a=x\x01auth=Bearer x\x01\x01",
        ] {
            assert_eq!(token(message), None, "{message:?}");
        }
    }

    #[test]
    fn base64_is_read_with_and_without_padding() {
        assert_eq!(decode(b"YQ==").unwrap().as_slice(), b"a");
        assert_eq!(decode(b"YQ").unwrap().as_slice(), b"a");
        assert!(decode(b"=").unwrap().is_empty() && decode(b"").unwrap().is_empty());
        assert!(decode(b"Y!").is_none());
    }
}
