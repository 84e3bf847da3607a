//! What the IMAP door asks of the house.

use std::net::IpAddr;
use std::sync::Arc;

use async_trait::async_trait;
use imap::{LoggedIn, LoginRefusal, SealRefusal, Sealed};
use lnmp::{Opener, PublicKey};
use store::{Account, AccountId};

use crate::accounts::{self, LoginError};
use crate::flow::digest;
use crate::flow::seal::{Attached, SealError, seal};
use crate::house::{House, now_ms};

/// The house, as the IMAP door sees it.
pub struct ImapHost(pub Arc<House>);

impl ImapHost {
    /// Beside the session, which need not wait for it.
    fn write_digest(&self, account: Account, opener: Arc<Opener>) {
        if !self.0.sessions.is_first_of_day(account.id, now_ms()) {
            return;
        }
        let house = Arc::clone(&self.0);
        tokio::spawn(async move {
            if let Err(error) = digest::first_session(&house, &account, &opener, now_ms()).await {
                tracing::warn!(error = format!("{error:#}"), "the digest could not be written");
            }
        });
    }

    fn let_in(&self, login: Result<accounts::Login, LoginError>) -> Result<LoggedIn, LoginRefusal> {
        match login {
            Ok(login) => {
                self.write_digest(login.account.clone(), Arc::clone(&login.opener));
                Ok(LoggedIn {
                    account: login.account.id,
                    disabled: imap::Disabled::new(login.account.settings.capabilities_off.iter().map(String::as_str)),
                    // The opener is the seat: it is wiped with the last session that holds it.
                    seat: Box::new(Arc::clone(&login.opener)),
                    opener: login.opener,
                    revoked: Some(login.revoked),
                })
            }
            Err(LoginError::Wrong) => Err(LoginRefusal::Credentials),
            Err(LoginError::Throttled) => Err(LoginRefusal::Throttled),
            Err(LoginError::Fault(error)) => {
                tracing::error!(%error, "login");
                Err(LoginRefusal::Unavailable)
            }
        }
    }
}

#[async_trait]
impl imap::Login for ImapHost {
    async fn login(&self, peer: IpAddr, user: &str, password: &str) -> Result<LoggedIn, LoginRefusal> {
        self.let_in(accounts::login(&self.0, peer, user, password).await)
    }

    async fn bear(&self, peer: IpAddr, user: &str, token: &str) -> Result<LoggedIn, LoginRefusal> {
        self.let_in(accounts::bear(&self.0, peer, user, token).await)
    }
}

#[async_trait]
impl imap::Host for ImapHost {
    async fn seal(&self, account: AccountId, message: Vec<u8>) -> Result<Sealed, SealRefusal> {
        let house = &self.0;
        let refuse = |error: &dyn std::fmt::Display| {
            tracing::error!(%error, "an appended message could not be sealed");
            SealRefusal::Unavailable
        };
        if house.is_short_of_disk() {
            return Err(SealRefusal::Unavailable);
        }
        let owner =
            house.store.account(account).await.map_err(|error| refuse(&error))?.ok_or(SealRefusal::Unavailable)?;
        let key = PublicKey::from_bytes(owner.identity).map_err(|error| refuse(&error))?;
        let message_id = converter::facts(&message).message_id;
        let sealed =
            seal(house, &key, &message[..].into(), &mut Attached::default()).await.map_err(|error| match error {
                SealError::Shelf(_) | SealError::NotRunning(_) | SealError::Spool(_) | SealError::Bug(_) => {
                    refuse(&error)
                }
            })?;
        Ok(Sealed { parts: sealed.parts, content_digest: sealed.digest, message_id })
    }

    async fn is_here(&self, account: AccountId, user: Option<&str>, server: &str) -> bool {
        let config = &self.0.config;
        if !config.server.name.eq_ignore_ascii_case(server) && !config.is_local_domain(server) {
            return false;
        }
        let Some(user) = user else { return true };
        let owner = self.0.store.account(account).await.ok().flatten();
        owner
            .is_some_and(|owner| user.eq_ignore_ascii_case(&owner.address()) || user.eq_ignore_ascii_case(&owner.local))
    }

    fn admin(&self) -> Option<String> {
        Some(format!("mailto:{}", self.0.bridge_address()))
    }
}
