//! AUTH PLAIN, LOGIN and OAUTHBEARER. RFC 4954, RFC 4616, RFC 7628; LOGIN as Outlook speaks it.
//!
//! Over TLS only, or on loopback. Challenge-response mechanisms are not offered: they never give the server anything
//! that could unlock a mailbox key.

use super::bearer;
use super::{Action, Phase, Session};
use crate::reply::{plain_reply, reply};
use crate::{AuthRefusal, Enhanced, Kind, Secret, Submitter, limits};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use smtp_proto::{AUTH_LOGIN, AUTH_OAUTHBEARER, AUTH_PLAIN};
use std::time::Instant;
use zeroize::Zeroizing;

/// Which line of the exchange comes next.
#[derive(Debug)]
pub(super) enum Login {
    /// The PLAIN message.
    Plain,
    /// LOGIN's user name.
    User,
    /// LOGIN's password.
    Password { user: String },
    /// The OAUTHBEARER message.
    Bearer,
    /// Whatever the client says to why its token was not taken.
    Refused,
}

/// "Username:" and "Password:" in base64. Outlook waits for exactly these.
const PROMPT_USER: &str = "VXNlcm5hbWU6";
const PROMPT_PASSWORD: &str = "UGFzc3dvcmQ6";

impl Session {
    /// Whether AUTH is offered now.
    pub(super) fn may_log_in(&self) -> bool {
        self.config.kind == Kind::Submission
            && self.peer.authenticated.is_none()
            && (self.peer.tls.is_some() || self.peer.address.ip().to_canonical().is_loopback())
    }

    pub(super) fn auth(&mut self, mechanism: u64, initial_response: &str, out: &mut Vec<u8>) -> Option<Action> {
        if self.config.kind != Kind::Submission {
            return self.error(out, 502, (5, 5, 1), "mail of your own goes to the submission port");
        }
        if !self.peer.esmtp {
            return self.error(out, 503, (5, 5, 1), "say EHLO first");
        }
        if self.peer.authenticated.is_some() || self.mail.is_some() {
            return self.error(out, 503, (5, 5, 1), "log in once, before the first mail");
        }
        if !self.may_log_in() {
            return self.error(out, 538, (5, 7, 11), "log in over TLS only; say STARTTLS first");
        }
        let initial = (!initial_response.is_empty()).then_some(initial_response);
        let next = match (mechanism, initial) {
            (AUTH_PLAIN, None) => {
                plain_reply(out, 334, &[""]);
                Login::Plain
            }
            (AUTH_LOGIN, None) => {
                plain_reply(out, 334, &[PROMPT_USER]);
                Login::User
            }
            (AUTH_OAUTHBEARER, None) if self.config.tokens => {
                plain_reply(out, 334, &[""]);
                Login::Bearer
            }
            (AUTH_OAUTHBEARER, Some(initial)) if self.config.tokens => {
                return self.login_bearer(initial.as_bytes(), out);
            }
            (AUTH_PLAIN, Some(initial)) => return self.login_plain(initial.as_bytes(), out),
            (AUTH_LOGIN, Some(initial)) => return self.login_user(initial.as_bytes(), out),
            (_, _) => {
                let offered =
                    if self.config.tokens { "PLAIN, LOGIN and OAUTHBEARER are" } else { "PLAIN and LOGIN are" };
                return self.error(out, 504, (5, 5, 4), &format!("{offered} offered here"));
            }
        };
        self.phase = Phase::Login(next);
        None
    }

    pub(super) fn login_line(&mut self, line: &[u8], out: &mut Vec<u8>) -> Option<Action> {
        let Phase::Login(login) = std::mem::replace(&mut self.phase, Phase::Command) else { return None };
        let line = line.trim_ascii();
        // RFC 7628 §3.2.3: the client says anything, and only then the login has failed.
        if matches!(login, Login::Refused) {
            return self.login_failed(535, (5, 7, 8), "this token is not taken", out);
        }
        if line == b"*" {
            return self.error(out, 501, (5, 7, 0), "login given up");
        }
        match login {
            Login::Plain => self.login_plain(line, out),
            Login::User => self.login_user(line, out),
            Login::Bearer => self.login_bearer(line, out),
            Login::Refused => None,
            Login::Password { user } => match decode(line) {
                Some(password) => self.ask(user, Secret::new(password.to_string())),
                None => self.not_base64(out),
            },
        }
    }

    /// `authzid NUL authcid NUL passwd`. RFC 4616 §2.
    fn login_plain(&mut self, response: &[u8], out: &mut Vec<u8>) -> Option<Action> {
        let Some(message) = decode(response) else { return self.not_base64(out) };
        let mut parts = message.splitn(3, '\0');
        let (Some(acts_as), Some(user), Some(password)) = (parts.next(), parts.next(), parts.next()) else {
            return self.error(out, 501, (5, 5, 2), "that is not a PLAIN message");
        };
        if !acts_as.is_empty() && acts_as != user {
            return self.error(out, 535, (5, 7, 8), "nobody may act as another here");
        }
        self.ask(user.to_owned(), Secret::new(password.to_owned()))
    }

    /// `gs2-header kvsep *kvpair kvsep`. RFC 7628 §3.1.
    fn login_bearer(&mut self, response: &[u8], out: &mut Vec<u8>) -> Option<Action> {
        let Some(message) = decode(response) else { return self.not_base64(out) };
        let Some((user, token)) = bearer::read(&message) else {
            return self.error(out, 501, (5, 5, 2), "that is not an OAUTHBEARER message with a user and a token");
        };
        self.phase = Phase::Waiting;
        Some(Action::Bear { user: user.to_owned(), token: Secret::new(token.to_owned()) })
    }

    fn login_user(&mut self, response: &[u8], out: &mut Vec<u8>) -> Option<Action> {
        let Some(user) = decode(response) else { return self.not_base64(out) };
        plain_reply(out, 334, &[PROMPT_PASSWORD]);
        self.phase = Phase::Login(Login::Password { user: user.to_string() });
        None
    }

    fn not_base64(&mut self, out: &mut Vec<u8>) -> Option<Action> {
        self.error(out, 501, (5, 5, 2), "that is not base64 of UTF-8 text")
    }

    fn ask(&mut self, user: String, password: Secret) -> Option<Action> {
        self.phase = Phase::Waiting;
        Some(Action::Authenticate { user, password })
    }

    /// The host's answer to [`Action::Authenticate`].
    pub fn answer_login(
        &mut self,
        now: Instant,
        answer: Result<Submitter, AuthRefusal>,
        out: &mut Vec<u8>,
    ) -> Option<Action> {
        self.resume(now);
        match answer {
            Ok(submitter) => {
                self.peer.authenticated = Some(submitter);
                reply(out, 235, (2, 7, 0), "welcome");
                None
            }
            Err(AuthRefusal::Invalid) => self.login_failed(535, (5, 7, 8), "user or password is wrong", out),
            Err(refusal) => self.login_put_off(refusal, out),
        }
    }

    /// The host's answer to [`Action::Bear`].
    pub fn answer_bear(
        &mut self,
        now: Instant,
        answer: Result<Submitter, AuthRefusal>,
        out: &mut Vec<u8>,
    ) -> Option<Action> {
        self.resume(now);
        match answer {
            Ok(_) => self.answer_login(now, answer, out),
            Err(AuthRefusal::Invalid) => {
                plain_reply(out, 334, &[&STANDARD.encode(bearer::INVALID_TOKEN)]);
                self.phase = Phase::Login(Login::Refused);
                None
            }
            Err(refusal) => self.login_put_off(refusal, out),
        }
    }

    fn login_put_off(&mut self, refusal: AuthRefusal, out: &mut Vec<u8>) -> Option<Action> {
        let text = match refusal {
            AuthRefusal::Invalid | AuthRefusal::Throttled => "too many failed logins, please wait",
            AuthRefusal::Unavailable => "cannot log anybody in now, please try later",
        };
        self.login_failed(454, (4, 7, 0), text, out)
    }

    fn login_failed(&mut self, code: u16, enhanced: Enhanced, text: &str, out: &mut Vec<u8>) -> Option<Action> {
        reply(out, code, enhanced, text);
        self.login_failures += 1;
        (self.login_failures >= limits::LOGIN_FAILURES_MAX)
            .then(|| self.hang_up(out, (4, 7, 0), "too many failed logins"))
    }
}

/// RFC 4954 §4: `=` alone is an empty response.
fn decode(response: &[u8]) -> Option<Zeroizing<String>> {
    if response == b"=" {
        return Some(Zeroizing::new(String::new()));
    }
    String::from_utf8(STANDARD.decode(response).ok()?).ok().map(Zeroizing::new)
}
