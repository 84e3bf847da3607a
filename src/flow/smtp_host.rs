//! What the SMTP door asks of the house.

use std::sync::Arc;

use async_trait::async_trait;
use smtp::{
    Accepted, AuthRefusal, Envelope, Kind, MailParameters, PeerInfo, Recipient, Refusal, ReversePath, Secret, Spool,
    Submitter,
};

use crate::accounts::{self, Login, LoginError};
use crate::flow::{receive, submit};
use crate::house::House;

/// The house, as the SMTP door sees it.
pub struct SmtpHost(pub Arc<House>);

#[async_trait]
impl smtp::Host for SmtpHost {
    async fn authenticate(&self, peer: &PeerInfo, user: &str, password: &Secret) -> Result<Submitter, AuthRefusal> {
        submitter(accounts::login(&self.0, peer.address.ip(), user, password.reveal()).await)
    }

    fn takes_tokens(&self) -> bool {
        true
    }

    async fn bear(&self, peer: &PeerInfo, user: &str, token: &Secret) -> Result<Submitter, AuthRefusal> {
        submitter(accounts::bear(&self.0, peer.address.ip(), user, token.reveal()).await)
    }

    async fn mail(
        &self,
        _peer: &PeerInfo,
        _reverse_path: &ReversePath,
        _parameters: &MailParameters,
    ) -> Result<(), Refusal> {
        if self.0.is_short_of_disk() { Err(Refusal::storage_full()) } else { Ok(()) }
    }

    async fn rcpt(
        &self,
        peer: &PeerInfo,
        reverse_path: &ReversePath,
        mailbox: &str,
        so_far: &[Recipient],
    ) -> Result<Recipient, Refusal> {
        match peer.kind {
            Kind::Mx | Kind::Lmtp => receive::recipient(&self.0, peer, reverse_path, mailbox, so_far).await,
            Kind::Submission => submit::recipient(&self.0, mailbox).await,
        }
    }

    async fn message(&self, envelope: Envelope, content: Spool) -> Result<Accepted, Refusal> {
        match envelope.peer.kind {
            Kind::Mx | Kind::Lmtp => receive::message(&self.0, envelope, content).await,
            Kind::Submission => submit::message(&self.0, envelope, content).await,
        }
    }

    async fn message_each(&self, envelope: Envelope, content: Spool) -> Vec<Result<Accepted, Refusal>> {
        receive::message_each(&self.0, envelope, content).await
    }
}

fn submitter(login: Result<Login, LoginError>) -> Result<Submitter, AuthRefusal> {
    match login {
        // Submitting needs no key: the unlocked one is let go at once.
        Ok(login) => Ok(Submitter { id: login.account.id.0, address: login.account.address(), context: None }),
        Err(LoginError::Wrong) => Err(AuthRefusal::Invalid),
        Err(LoginError::Throttled) => Err(AuthRefusal::Throttled),
        Err(LoginError::Fault(error)) => {
            tracing::error!(%error, "login");
            Err(AuthRefusal::Unavailable)
        }
    }
}
