//! LOGIN and AUTHENTICATE PLAIN (RFC 3501 §6.2.2, §6.2.3; RFC 4616; SASL-IR: RFC 4959).

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use zeroize::Zeroizing;

use crate::limits::{LITERAL_BEFORE_LOGIN_BYTES_MAX, LOGIN_FAILURE_DELAY, LOGIN_FAILURES_MAX};
use crate::reply::{End, Run, Stop, Tagged};
use crate::session::{Session, Waited};
use crate::wire::{Bad, Cursor, Frame, Parsed};

/// LOGIN.
pub(crate) struct Login {
    user: String,
    password: Zeroizing<String>,
}

/// AUTHENTICATE with a mechanism we have.
pub(crate) struct Authenticate {
    /// The client's first message, in base64; `None` when it waits to be asked.
    initial: Option<Zeroizing<Vec<u8>>>,
    known: bool,
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Login([secret])")
    }
}

impl std::fmt::Debug for Authenticate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Authenticate([secret])")
    }
}

impl Login {
    pub(super) fn parse(cursor: &mut Cursor<'_>) -> Parsed<Self> {
        const NOT_UTF8: Bad = Bad::new("Name and password must be UTF-8");
        cursor.space()?;
        let user = String::from_utf8(cursor.astring()?.into_owned()).map_err(|_| NOT_UTF8)?;
        cursor.space()?;
        let password = String::from_utf8(cursor.astring()?.into_owned()).map_err(|_| NOT_UTF8)?;
        Ok(Self { user, password: Zeroizing::new(password) })
    }

    pub(super) async fn run(self, session: &mut Session) -> Run {
        log_in(session, &self.user, &self.password).await
    }
}

impl Authenticate {
    pub(super) fn parse(cursor: &mut Cursor<'_>) -> Parsed<Self> {
        cursor.space()?;
        let known = cursor.atom("Missing mechanism")?.eq_ignore_ascii_case("PLAIN");
        let mut initial = None;
        if !cursor.is_at_end() {
            cursor.space()?;
            initial = Some(Zeroizing::new(cursor.take_while(|octet| octet != b' ').to_vec()));
        }
        Ok(Self { initial, known })
    }

    pub(super) async fn run(self, session: &mut Session) -> Run {
        if !self.known {
            return Ok(Tagged::no("[CANNOT] Unsupported authentication mechanism"));
        }
        if !session.may_log_in() {
            return Ok(privacy_required());
        }
        let encoded = match self.initial {
            Some(initial) => initial,
            None => ask(session).await?,
        };
        match encoded.as_slice() {
            b"*" => return Ok(Tagged::bad("Authentication cancelled")),
            // RFC 4959 §3: "=" is an empty message, which PLAIN has none of.
            b"=" => return Ok(Tagged::bad("Invalid PLAIN message")),
            _ => {}
        }
        let Ok(message) = BASE64_STANDARD.decode(&*encoded).map(Zeroizing::new) else {
            return Ok(Tagged::bad("Invalid base64"));
        };
        let Some((acts_as, user, password)) = plain(&message) else {
            return Ok(Tagged::bad("Invalid PLAIN message"));
        };
        if !acts_as.is_empty() && acts_as != user {
            return Ok(Tagged::no("[AUTHORIZATIONFAILED] Acting for somebody else is not possible"));
        }
        log_in(session, user, password).await
    }
}

/// RFC 4616 §2: `[authzid] NUL authcid NUL passwd`.
fn plain(message: &[u8]) -> Option<(&str, &str, &str)> {
    let mut parts = std::str::from_utf8(message).ok()?.split('\0');
    let found = (parts.next()?, parts.next()?, parts.next()?);
    (parts.next().is_none() && !found.1.is_empty()).then_some(found)
}

/// Sends an empty challenge and reads the answer.
async fn ask(session: &mut Session) -> Result<Zeroizing<Vec<u8>>, Stop> {
    session.io.out.extend_from_slice(b"+ \r\n");
    let frame = session.frame().await?;
    let line = Zeroizing::new(session.io.framer.take_command());
    session.io.framer.next();
    match frame {
        Frame::Command if line.len() <= LITERAL_BEFORE_LOGIN_BYTES_MAX => Ok(line),
        Frame::Lost => Err(End::Bye("[TOOBIG] Command is too long to go on").into()),
        _ => Err(Tagged::bad("Invalid base64").into()),
    }
}

fn privacy_required() -> Tagged {
    Tagged::no("[PRIVACYREQUIRED] Use STARTTLS or the TLS port first")
}

async fn log_in(session: &mut Session, user: &str, password: &str) -> Run {
    if !session.may_log_in() {
        return Ok(privacy_required());
    }
    let host = session.shared.host.clone();
    let ip = session.peer.ip;
    // What came before is told, because the key derivation may take a while.
    session.io.flush().await?;
    let logged_in = match Session::wait(&mut session.stopping, None, host.login(ip, user, password)).await {
        Waited::Done(logged_in) => logged_in,
        Waited::End(end) => return Err(end.into()),
    };
    match logged_in {
        Ok(logged_in) => {
            session.enter(logged_in);
            Ok(Tagged::ok(format!("[CAPABILITY {}] Logged in", session.capabilities())))
        }
        Err(refusal) => {
            session.login_failures += 1;
            session.pause(LOGIN_FAILURE_DELAY).await?;
            if session.login_failures >= LOGIN_FAILURES_MAX {
                return Err(End::Bye("[AUTHENTICATIONFAILED] Too many failed logins").into());
            }
            Ok(refusal.into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_messages_are_taken_apart() {
        assert_eq!(plain(b"\0user\0pass"), Some(("", "user", "pass")));
        assert_eq!(plain(b"user\0user\0"), Some(("user", "user", "")));
        for message in [&b""[..], b"user\0pass", b"\0user\0pass\0", b"\0\0pass", b"\0\xff\0pass"] {
            assert_eq!(plain(message), None);
        }
    }

    #[test]
    fn a_login_never_prints_its_password() {
        let login = Login::parse(&mut Cursor::new(b" me hunter2")).unwrap();
        assert!(!format!("{login:?}").contains("hunter2"));
    }
}
