//! LOGIN and AUTHENTICATE (RFC 3501 §6.2.2, §6.2.3; SASL-IR: RFC 4959). What mechanisms say is in `sasl.rs`.

use zeroize::Zeroizing;

use crate::command::sasl::{self, Mechanism, Said};
use crate::host::{LoggedIn, LoginRefusal};
use crate::limits::{LITERAL_BEFORE_LOGIN_BYTES_MAX, LOGIN_FAILURE_DELAY, LOGIN_FAILURES_MAX};
use crate::reply::{End, Run, Stop, Tagged};
use crate::session::{Session, Waited};
use crate::wire::{Bad, Cursor, Frame, Parsed};

/// LOGIN.
pub(crate) struct Login {
    user: String,
    password: Zeroizing<String>,
}

/// AUTHENTICATE.
pub(crate) struct Authenticate {
    /// `None`: one we do not have.
    mechanism: Option<Mechanism>,
    /// The client's first message, in base64; `None` when it waits to be asked.
    initial: Option<Zeroizing<Vec<u8>>>,
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
        let mechanism = Mechanism::named(cursor.atom("Missing mechanism")?);
        let mut initial = None;
        if !cursor.is_at_end() {
            cursor.space()?;
            initial = Some(Zeroizing::new(cursor.take_while(|octet| octet != b' ').to_vec()));
        }
        Ok(Self { mechanism, initial })
    }

    pub(super) async fn run(self, session: &mut Session) -> Run {
        let Some(mechanism) = self.mechanism else {
            return Ok(Tagged::no("[CANNOT] Unknown mechanism; PLAIN, LOGIN and OAUTHBEARER are offered"));
        };
        if !session.may_log_in() {
            return Ok(privacy_required());
        }
        let first = match self.initial {
            Some(initial) => initial,
            None => ask(session, mechanism.first_challenge()).await?,
        };
        match mechanism.read(&decoded(&first)?)? {
            Said::Password { user, password } => log_in(session, &user, &password).await,
            Said::User(user) => {
                let password = ask(session, sasl::PASSWORD).await?;
                log_in(session, &user, &sasl::text(decoded(&password)?)?).await
            }
            Said::Token { user, token } => bear(session, user.as_deref(), &token).await,
        }
    }
}

/// Sends a challenge and reads the answer, which stays in base64.
async fn ask(session: &mut Session, challenge: &[u8]) -> Result<Zeroizing<Vec<u8>>, Stop> {
    session.io.out.extend_from_slice(format!("+ {}\r\n", sasl::encoded(challenge)).as_bytes());
    let frame = session.frame().await?;
    let line = Zeroizing::new(session.io.framer.take_command());
    session.io.framer.next();
    match frame {
        // eM Client gives up with a LOGOUT in place of the answer (mail.md quirk 27): base64 has no space.
        Frame::Command if sasl::is_logout(&line) => {
            session.io.out.extend_from_slice(b"* BYE Logging out\r\n");
            let tag = crate::command::tag_of(&line).unwrap_or("*");
            session.io.out.extend_from_slice(format!("{tag} OK LOGOUT completed\r\n").as_bytes());
            Err(End::LoggedOut.into())
        }
        Frame::Command if line.len() <= LITERAL_BEFORE_LOGIN_BYTES_MAX => Ok(line),
        Frame::Lost => Err(End::Bye("[TOOBIG] Command is too long to go on").into()),
        _ => Err(Tagged::bad("Expected one line of base64").into()),
    }
}

/// A line of the client's. RFC 3501 §6.2.3: `*` cancels, which is answered with BAD.
fn decoded(line: &[u8]) -> Result<Zeroizing<Vec<u8>>, Stop> {
    if line == b"*" {
        return Err(Tagged::bad("Authentication cancelled").into());
    }
    sasl::decode(line).ok_or_else(|| Tagged::bad("Invalid base64").into())
}

/// OAUTHBEARER: the token is an app password of the account's, because only what carries a key can open mail.
async fn bear(session: &mut Session, user: Option<&str>, token: &str) -> Run {
    let Some(user) = user else {
        return Ok(Tagged::no("[AUTHENTICATIONFAILED] The message has to name the user (a=user@domain)"));
    };
    let host = session.shared.host.clone();
    let ip = session.peer.ip;
    session.io.flush().await?;
    match wait(session, host.bear(ip, user, token)).await? {
        Ok(logged_in) => Ok(welcome(session, logged_in)),
        Err(LoginRefusal::Credentials) => {
            // RFC 7628 §3.2.3: the failure is told in a challenge first; whatever the client answers, it has failed.
            let answer = ask(session, sasl::OAUTH_REFUSAL).await;
            match answer {
                Ok(_) | Err(Stop::Tagged(_)) => fail(session, LoginRefusal::Credentials).await,
                Err(stop) => Err(stop),
            }
        }
        Err(refusal) => fail(session, refusal).await,
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
    match wait(session, host.login(ip, user, password)).await? {
        Ok(logged_in) => Ok(welcome(session, logged_in)),
        Err(refusal) => fail(session, refusal).await,
    }
}

async fn wait<T>(session: &mut Session, what: impl Future<Output = T>) -> Result<T, Stop> {
    match Session::wait(&mut session.stopping, None, what).await {
        Waited::Done(done) => Ok(done),
        Waited::End(end) => Err(end.into()),
    }
}

fn welcome(session: &mut Session, logged_in: LoggedIn) -> Tagged {
    session.enter(logged_in);
    Tagged::ok(format!("[CAPABILITY {}] Logged in", session.capabilities()))
}

async fn fail(session: &mut Session, refusal: LoginRefusal) -> Run {
    session.login_failures += 1;
    session.pause(LOGIN_FAILURE_DELAY).await?;
    if session.login_failures >= LOGIN_FAILURES_MAX {
        return Err(End::Bye("[AUTHENTICATIONFAILED] Too many failed logins").into());
    }
    Ok(refusal.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_never_prints_its_password() {
        let login = Login::parse(&mut Cursor::new(b" me hunter2")).unwrap();
        assert!(!format!("{login:?}").contains("hunter2"));
    }
}
