//! One mail in a session: MAIL to the final reply. RFC 5321 §3.3, RFC 2920, RFC 3461 §5.

use super::connection::Connection;
use super::extensions::Extensions;
use super::session::State;
use super::wire::DotStuffer;
use super::{ClientError, Deadlines, Outcome, Outgoing, OutgoingRecipient, Reply, Rest};
use std::io;

use crate::{ByMode, DeliverBy, Notify, Ret, is_mailbox, limits};

pub(super) struct Transaction<'a> {
    pub(super) connection: &'a mut Connection,
    pub(super) extensions: &'a Extensions,
    pub(super) mail: &'a Outgoing<'a>,
    /// What follows its message.
    pub(super) rest: Option<&'a dyn Rest>,
    pub(super) deadlines: Deadlines,
    /// The server proved its name under TLS.
    pub(super) verified: bool,
}

impl Transaction<'_> {
    pub(super) async fn run(mut self) -> Result<(Vec<Outcome>, State), ClientError> {
        let mail_command = self.mail_command()?;
        let mut outcomes = self.envelope(&mail_command).await?;
        let mut state = State::Dirty;
        if outcomes.iter().any(|outcome| matches!(outcome, Outcome::Delivered(_))) {
            let (reply, after) = self.content().await?;
            state = after;
            for outcome in &mut outcomes {
                if matches!(outcome, Outcome::Delivered(_)) {
                    *outcome = Outcome::of(reply.clone());
                }
            }
        }
        if outcomes.iter().any(|outcome| outcome.reply().is_goodbye()) {
            state = State::Over;
        }
        Ok((outcomes, state))
    }

    fn mail_command(&self) -> Result<String, ClientError> {
        let refuse = |code, enhanced, text: String| Err(ClientError::Refused(Reply::ours(code, enhanced, text)));
        let Outgoing { reverse_path, recipients, head, message, .. } = *self.mail;
        let bytes = (head.len() + message.len()) as u64 + self.rest.map_or(0, Rest::size);
        if self.extensions.size.is_some_and(|most| bytes > most) {
            return refuse(552, (5, 3, 4), format!("the message has {bytes} octets, the server takes fewer"));
        }
        if !reverse_path.is_null() && !is_mailbox(reverse_path.as_str()) {
            return refuse(553, (5, 1, 7), "the reverse-path is not an address".into());
        }
        let wide = self.mail.smtputf8
            || !reverse_path.as_str().is_ascii()
            || recipients.iter().any(|recipient| !recipient.mailbox.is_ascii());
        if wide && !self.extensions.smtputf8 {
            let text = "the addresses or headers need SMTPUTF8, which the server does not speak";
            return refuse(553, (5, 6, 7), text.into());
        }
        // RFC 8689 §4.2.1: only over TLS to a server that proved its name and promises the same.
        if self.mail.require_tls && !(self.verified && self.extensions.require_tls) {
            let text = "the sender requires TLS all the way, and the server does not promise it (REQUIRETLS)";
            return refuse(550, (5, 7, 30), text.into());
        }
        let mut command = format!("MAIL FROM:{reverse_path}");
        if self.extensions.size.is_some() {
            command += &format!(" SIZE={bytes}");
        }
        // A server without 8BITMIME gets the octets all the same ("just send eight"): recoding the body would break
        // the author's signatures, and servers that clear the eighth bit have not been met for decades.
        let is_ascii = message.is_ascii() && self.rest.is_none_or(Rest::is_ascii);
        if self.extensions.eight_bit && !is_ascii {
            command += " BODY=8BITMIME";
        }
        if wide {
            command += " SMTPUTF8";
        }
        if self.mail.require_tls {
            command += " REQUIRETLS";
        }
        // RFC 6710 §4.2: handed on as it came.
        if self.extensions.mt_priority && self.mail.priority != 0 {
            command += &format!(" MT-PRIORITY={}", self.mail.priority);
        }
        if let Some(by) = self.mail.deliver_by {
            command += &self.deliver_by(by).or_else(|(enhanced, text)| refuse(554, enhanced, text.into()))?;
        }
        // RFC 3461 §5.2.1: handed on as they came.
        if self.extensions.dsn {
            match self.mail.ret {
                Some(Ret::Full) => command += " RET=FULL",
                Some(Ret::Hdrs) => command += " RET=HDRS",
                None => {}
            }
            if let Some(envid) = self.mail.envid {
                command += &format!(" ENVID={envid}");
            }
        }
        Ok(command)
    }

    /// RFC 2852 §4: with R it goes to nobody who does not keep the time, or not such a short one; with N it goes.
    fn deliver_by(&self, by: DeliverBy) -> Result<String, ((u8, u16, u16), &'static str)> {
        let trace = if by.trace { "T" } else { "" };
        match (by.mode, self.extensions.deliver_by) {
            (ByMode::Return, None) => {
                Err(((5, 3, 3), "the mail has a time to arrive by, and the server does not keep it (DELIVERBY)"))
            }
            (ByMode::Return, Some(least)) if by.seconds < least.max(1) => {
                Err(((5, 4, 7), "the time that is left for the mail to arrive is too short for the server"))
            }
            (ByMode::Return, Some(_)) => Ok(format!(" BY={};R{trace}", by.seconds)),
            (ByMode::Notify, Some(_)) => Ok(format!(" BY={};N{trace}", by.seconds)),
            (ByMode::Notify, None) => Ok(String::new()),
        }
    }

    fn rcpt_command(&self, recipient: &OutgoingRecipient) -> String {
        let mut command = format!("RCPT TO:<{}>", recipient.mailbox);
        if self.extensions.dsn {
            if let Some(notify) = recipient.notify {
                command += &format!(" NOTIFY={}", words(notify));
            }
            if let Some(orcpt) = &recipient.orcpt {
                command += &format!(" ORCPT={orcpt}");
            }
        }
        command + "\r\n"
    }

    /// MAIL and RCPT, in as few round trips as the server allows.
    async fn envelope(&mut self, mail_command: &str) -> Result<Vec<Outcome>, ClientError> {
        let per_flight = if self.extensions.pipelining { limits::RECIPIENTS_PER_FLIGHT } else { 1 };
        let mut mail_answered = false;
        if !self.extensions.pipelining {
            let reply = self.connection.command(mail_command, self.deadlines.reply).await?;
            refused_unless_positive(reply)?;
            mail_answered = true;
        }
        let mut outcomes = Vec::with_capacity(self.mail.recipients.len());
        for flight in self.mail.recipients.chunks(per_flight) {
            let mut commands = if mail_answered { String::new() } else { format!("{mail_command}\r\n") };
            for recipient in flight.iter().filter(|recipient| is_mailbox(&recipient.mailbox)) {
                commands += &self.rcpt_command(recipient);
            }
            self.connection.write(commands.as_bytes()).await?;
            if !mail_answered {
                let reply = self.connection.reply(self.deadlines.reply).await?;
                if !reply.is_positive() {
                    // The replies to what was sent behind MAIL come all the same, and belong to nothing else.
                    for _ in flight.iter().filter(|recipient| is_mailbox(&recipient.mailbox)) {
                        self.connection.reply(self.deadlines.reply).await?;
                    }
                }
                refused_unless_positive(reply)?;
                mail_answered = true;
            }
            for recipient in flight {
                outcomes.push(if is_mailbox(&recipient.mailbox) {
                    Outcome::of(self.connection.reply(self.deadlines.reply).await?)
                } else {
                    Outcome::Permanent(Reply::ours(553, (5, 1, 3), "that is not an address"))
                });
            }
        }
        Ok(outcomes)
    }

    async fn content(&mut self) -> Result<(Reply, State), ClientError> {
        let reply = self.connection.command("DATA", self.deadlines.reply).await?;
        if reply.code != 354 {
            return if reply.is_positive() {
                Err(ClientError::Garbled("DATA was answered oddly"))
            } else {
                Ok((reply, State::Dirty))
            };
        }
        let mut stuffer = DotStuffer::new();
        let mut wire = Vec::with_capacity(limits::SPOOL_CHUNK_BYTES + 1024);
        for cut in [self.mail.head, self.mail.message].iter().flat_map(|part| part.chunks(limits::SPOOL_CHUNK_BYTES)) {
            stuffer.encode(cut, &mut wire);
            self.connection.write(&wire).await?;
            wire.clear();
        }
        let mut at = 0;
        while let Some(rest) = self.rest.filter(|rest| at < rest.size()) {
            // Without the final dot nothing is taken: the server drops what it has when the connection ends.
            let piece = rest.piece(at).await.map_err(ClientError::Lost)?;
            if piece.is_empty() {
                return Err(ClientError::Lost(io::ErrorKind::UnexpectedEof.into()));
            }
            for cut in piece.chunks(limits::SPOOL_CHUNK_BYTES) {
                stuffer.encode(cut, &mut wire);
                self.connection.write(&wire).await?;
                wire.clear();
            }
            at += piece.len() as u64;
        }
        stuffer.finish(&mut wire);
        self.connection.write(&wire).await?;
        // From here on the server may have taken the mail although its reply never comes (RFC 1047): the caller must
        // not try another server, only come back later.
        let reply = self.connection.reply(self.deadlines.final_reply).await.map_err(ClientError::in_doubt)?;
        Ok((reply, State::Ready))
    }
}

/// RFC 3461 §4.1.
fn words(notify: Notify) -> String {
    let words: Vec<&str> = [(notify.success, "SUCCESS"), (notify.failure, "FAILURE"), (notify.delay, "DELAY")]
        .iter()
        .filter(|(on, _)| *on)
        .map(|(_, word)| *word)
        .collect();
    if words.is_empty() { "NEVER".to_owned() } else { words.join(",") }
}

fn refused_unless_positive(reply: Reply) -> Result<(), ClientError> {
    if reply.is_positive() { Ok(()) } else { Err(ClientError::Refused(reply)) }
}
