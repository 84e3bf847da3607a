//! One connection's dialogue: commands in order, each answered before the next is looked at (RFC 3501 §5.5).

use std::future::Future;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use store::{AccountId, MailboxId, Store, UnixMs};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, timeout, timeout_at};
use zeroize::Zeroize as _;

use crate::capability::{Disabled, Place, capabilities};
use crate::command::{self, Act, Command, Destination, Interests, Made, Needs, Step};
use crate::enabled::Enabled;
use crate::host::{Host, LoggedIn};
use crate::io::Connection;
use crate::limits::{
    APPEND_MEMORY_WAIT, AUTOLOGOUT, BAD_COMMANDS_MAX, COMMAND_STALL, CONTENT_KEPT_BYTES,
    LITERAL_BEFORE_LOGIN_BYTES_MAX, LITERAL_BYTES_MAX, LOGIN_DEADLINE, SKIP_BYTES_MAX,
};
use crate::mail::Mail;
use crate::name::{MailboxName, NameError, Spelling};
use crate::reply::{End, Status, Stop, Tagged};
use crate::rooms::{AccountRoom, Ask, Rooms};
use crate::selected::{By, Expunges, Selected};
use crate::wire::{Frame, LiteralHeader};

/// What every session of a server shares.
pub(crate) struct Shared {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) shelf: Arc<dyn attachments::Shelf>,
    pub(crate) host: Arc<dyn Host>,
    pub(crate) rooms: Arc<Rooms>,
    pub(crate) now: fn() -> UnixMs,
    /// KiB that APPENDed messages may still take in memory.
    pub(crate) append_memory: Arc<Semaphore>,
    /// Messages one command goes through.
    pub(crate) message_limit: usize,
}

/// Whom a session talks to, and how.
pub(crate) struct Peer {
    pub(crate) ip: IpAddr,
    pub(crate) secure: bool,
    /// What STARTTLS offers now.
    pub(crate) tls: Option<Arc<ServerConfig>>,
}

/// Somebody logged in.
pub(crate) struct User {
    pub(crate) account: AccountId,
    pub(crate) opener: Arc<lnmp::Opener>,
    pub(crate) room: Arc<AccountRoom>,
    disabled: Disabled,
    revoked: Option<watch::Receiver<bool>>,
    // The last field: the key goes when everything that was opened with it is gone.
    _seat: Box<dyn std::any::Any + Send + Sync>,
}

/// The dialogue.
pub(crate) struct Session {
    pub(crate) shared: Arc<Shared>,
    pub(crate) io: Connection,
    pub(crate) peer: Peer,
    pub(crate) user: Option<User>,
    pub(crate) selected: Option<Selected>,
    /// What the client turned on.
    pub(crate) enabled: Enabled,
    /// The mail fetched last, for clients that fetch in pieces.
    pub(crate) kept: Option<(store::MessageId, Arc<Mail>)>,
    pub(crate) stopping: watch::Receiver<bool>,
    pub(crate) login_failures: u32,
    /// What NOTIFY asked for, once it was used.
    pub(crate) interests: Option<Box<Interests>>,
    /// Messages that the command which runs put into mailboxes, where somebody may ask.
    pub(crate) made: Vec<Made>,
    bad_commands: u32,
    began: Instant,
    memory: Option<OwnedSemaphorePermit>,
    refusal: Option<Tagged>,
}

/// What [`Session::wait`] came to.
pub(crate) enum Waited<T> {
    Done(T),
    /// The credential was revoked, or the server stops.
    End(End),
}

impl Session {
    pub(crate) fn new(shared: Arc<Shared>, io: Connection, peer: Peer, stopping: watch::Receiver<bool>) -> Self {
        Self {
            shared,
            io,
            peer,
            user: None,
            selected: None,
            enabled: Enabled::default(),
            kept: None,
            stopping,
            login_failures: 0,
            interests: None,
            made: Vec::new(),
            bad_commands: 0,
            began: Instant::now(),
            memory: None,
            refusal: None,
        }
    }

    /// Talks until somebody ends it.
    pub(crate) async fn run(mut self) {
        let end = match self.greet().await {
            Ok(()) => loop {
                if let Err(end) = self.command().await {
                    break end;
                }
            },
            Err(end) => end,
        };
        match &end {
            End::Io(error) if error.kind() == std::io::ErrorKind::TimedOut => {
                self.io.out.extend_from_slice(b"* BYE Connection was idle for too long\r\n");
            }
            End::Io(error) if self.io.is_compressed() && error.kind() == std::io::ErrorKind::InvalidData => {
                self.io.out.extend_from_slice(b"* BYE What came is not compressed with DEFLATE\r\n");
            }
            End::Io(error) => tracing::debug!(%error, "imap connection lost"),
            End::Bye(text) => self.io.out.extend_from_slice(format!("* BYE {text}\r\n").as_bytes()),
            End::LoggedOut => {}
        }
        self.io.close().await;
        self.leave().await;
        self.user = None;
        if !*self.stopping.borrow() {
            Box::pin(self.io.linger()).await;
        }
    }

    async fn greet(&mut self) -> Result<(), End> {
        let line = format!("* OK [CAPABILITY {}] Satchel ready\r\n", self.capabilities());
        self.io.out.extend_from_slice(line.as_bytes());
        Ok(self.io.flush().await?)
    }

    /// What CAPABILITY shows as the dialogue stands.
    pub(crate) fn capabilities(&self) -> String {
        let place = Place {
            logged_in: self.user.is_some(),
            tls_can_begin: !self.peer.secure && self.peer.tls.is_some(),
            may_log_in: self.may_log_in(),
            message_limit: self.shared.message_limit,
        };
        capabilities(place, self.user.as_ref().map_or_else(Disabled::default, |user| user.disabled))
    }

    /// Whether a password may be sent as things are: over TLS, or on this machine.
    pub(crate) fn may_log_in(&self) -> bool {
        self.peer.secure || self.peer.ip.to_canonical().is_loopback()
    }

    /// Waits for `what`, for the end of the server, or for the credential's.
    pub(crate) async fn wait<T>(
        stopping: &mut watch::Receiver<bool>,
        revoked: Option<&mut watch::Receiver<bool>>,
        what: impl Future<Output = T>,
    ) -> Waited<T> {
        let revoked = async {
            if let Some(revoked) = revoked
                && revoked.wait_for(|revoked| *revoked).await.is_ok()
            {
                return;
            }
            // A sender that is gone revokes nothing any more.
            std::future::pending().await
        };
        let stopped = async {
            if stopping.wait_for(|stopping| *stopping).await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            biased;
            () = stopped => Waited::End(End::Bye("Server is shutting down")),
            () = revoked => Waited::End(End::Bye("Access was revoked")),
            done = what => Waited::Done(done),
        }
    }

    /// The next frame. What was answered is on its way before anybody waits.
    pub(crate) async fn frame(&mut self) -> Result<Frame, End> {
        loop {
            match self.io.framer.poll() {
                Frame::More => {}
                frame => {
                    // More commands wait: their answers can share a packet, but not grow without bound.
                    self.io.relieve().await?;
                    return Ok(frame);
                }
            }
            self.io.flush().await?;
            self.io.shrink();
            let patience = if self.io.framer.is_within_command() { COMMAND_STALL } else { AUTOLOGOUT };
            let mut deadline = Instant::now() + patience;
            if self.user.is_none() {
                deadline = deadline.min(self.began + LOGIN_DEADLINE);
            }
            if self.interests.is_some() && !self.io.framer.is_within_command() {
                Box::pin(command::wait_and_tell(self, deadline)).await?;
                continue;
            }
            let Self { io, stopping, user, .. } = self;
            let revoked = user.as_mut().and_then(|user| user.revoked.as_mut());
            match Self::wait(stopping, revoked, timeout_at(deadline, io.fill_in_silence())).await {
                Waited::Done(Ok(filled)) => filled?,
                Waited::Done(Err(_)) if self.user.is_none() => return Err(End::Bye("Login took too long")),
                Waited::Done(Err(_)) => return Err(End::Bye("Connection was idle for too long")),
                Waited::End(end) => return Err(end),
            }
        }
    }

    /// Reads one command, does it, answers it.
    async fn command(&mut self) -> Result<(), End> {
        match self.frame().await? {
            Frame::More => {}
            Frame::Literal(literal) => self.literal(literal).await?,
            Frame::Command => {
                let mut line = self.io.framer.take_command();
                self.io.framer.next();
                let ended = self.execute(&line).await;
                // It may have held a password.
                if line.len() <= LITERAL_BYTES_MAX {
                    line.zeroize();
                }
                self.memory = None;
                ended?;
            }
            Frame::Refused => {
                let tagged = self.refusal.take().unwrap_or_else(|| Tagged::bad("[TOOBIG] Command line is too long"));
                let tag = command::tag_of(self.io.framer.command()).unwrap_or("*").to_owned();
                self.io.framer.next();
                self.memory = None;
                self.answer(&tag, &tagged)?;
            }
            Frame::Lost => return Err(End::Bye("[TOOBIG] Command is too long to go on")),
        }
        Ok(())
    }

    /// Decides whether an announced literal is wanted.
    async fn literal(&mut self, literal: LiteralHeader) -> Result<(), End> {
        match self.literal_wanted(literal).await {
            Ok(()) => {
                self.io.framer.accept_literal();
                if literal.synchronising {
                    self.io.out.extend_from_slice(b"+ OK\r\n");
                    self.io.flush().await?;
                }
            }
            Err(Stop::End(end)) => return Err(end),
            Err(Stop::Answered) => {}
            Err(Stop::Tagged(refusal)) if literal.synchronising => {
                let tag = command::tag_of(self.io.framer.command()).unwrap_or("*").to_owned();
                self.io.framer.refuse_literal();
                self.memory = None;
                self.answer(&tag, &refusal)?;
            }
            Err(Stop::Tagged(refusal)) => {
                if literal.size > SKIP_BYTES_MAX {
                    return Err(End::Bye("[TOOBIG] Literal is too large to skip"));
                }
                self.refusal = Some(refusal);
                self.io.framer.skip_literal();
            }
        }
        Ok(())
    }

    async fn literal_wanted(&mut self, literal: LiteralHeader) -> Result<(), Stop> {
        let total = literal.before.saturating_add(literal.size);
        if self.user.is_none() {
            let fits = total <= LITERAL_BEFORE_LOGIN_BYTES_MAX as u64;
            return if fits { Ok(()) } else { Err(Tagged::bad("[TOOBIG] Literal is too large before login").into()) };
        }
        match command::destination(self.io.framer.command(), self.spelling()) {
            Destination::Message(message) => {
                if let Some(refusal) = message.refusal(&literal, self.shared.message_limit) {
                    return Err(refusal.into());
                }
                if literal.synchronising {
                    // RFC 3501 §6.3.11: spare the client from sending what has nowhere to go.
                    self.existing(&message.mailbox).await?;
                }
                self.reserve_memory(total).await
            }
            Destination::Other if total <= LITERAL_BYTES_MAX as u64 => Ok(()),
            Destination::Other => Err(Tagged::bad("[TOOBIG] Literal is too large").into()),
        }
    }

    /// Room in memory for octets that come from elsewhere than the command.
    pub(crate) async fn reserve_more(&mut self, octets: u64) -> Result<(), Stop> {
        let held = self.memory.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        self.reserve_memory((held as u64 * 1024).saturating_add(octets)).await
    }

    /// Room in memory for what a command's messages take so far; it is given back when the command ends.
    async fn reserve_memory(&mut self, total: u64) -> Result<(), Stop> {
        if total <= LITERAL_BYTES_MAX as u64 {
            return Ok(());
        }
        let held = self.memory.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let wanted = usize::try_from(total / 1024 + 1).unwrap_or(usize::MAX).saturating_sub(held);
        let wanted = u32::try_from(wanted).unwrap_or(u32::MAX);
        let permit = self.shared.append_memory.clone().acquire_many_owned(wanted);
        // Sessions that wait for each other's room all give up what they hold in time.
        match timeout(APPEND_MEMORY_WAIT, permit).await {
            Ok(Ok(permit)) => {
                match &mut self.memory {
                    Some(held) => held.merge(permit),
                    None => self.memory = Some(permit),
                }
                Ok(())
            }
            _ => Err(Tagged::no("[UNAVAILABLE] Too many large messages at once, try again later").into()),
        }
    }

    async fn execute(&mut self, line: &[u8]) -> Result<(), End> {
        let Some(tag) = command::tag_of(line) else {
            let text = if line.is_empty() { "Empty command line" } else { "Missing or invalid tag" };
            return self.answer("*", &Tagged::bad(text));
        };
        let command = match command::parse(line) {
            Ok(command) => command,
            Err(bad) => return self.answer(tag, &Tagged::bad(bad.0)),
        };
        if let Some(refusal) = self.refused_here(&command) {
            return self.answer(tag, &refusal);
        }
        if command.enables_condstore() {
            self.turn_on("CONDSTORE");
        }
        let (step, by) = (command.step(self.enabled), command.by());
        let tells_others = command.may_be_told_others();
        self.made.clear();
        // RFC 7162 §3.2.7, §3.2.9; not CLOSE (§3.2.8), whose client is not told what went.
        let removes = command.removes() && self.enabled.qresync;
        let before = self.selected.as_ref().map(|selected| selected.told);
        let tagged = match command.run(self, tag).await {
            Ok(tagged) | Err(Stop::Tagged(tagged)) => tagged,
            Err(Stop::End(end)) => return Err(end),
            Err(Stop::Answered) => return Ok(()),
        };
        match Box::pin(self.bring_in_step(step, by)).await {
            Err(Stop::End(end)) => return Err(end),
            // A store that cannot answer now: the command's own outcome stands, the news come with the next one.
            Ok(()) | Err(Stop::Tagged(_) | Stop::Answered) => {}
        }
        if self.interests.is_some() && tells_others {
            Box::pin(command::tell_others(self)).await?;
            self.made = Vec::new();
        }
        let told = self.selected.as_ref().map(|selected| selected.told);
        match told {
            Some(highest)
                if removes && told > before && tagged.status == Status::Ok && !tagged.text.starts_with('[') =>
            {
                self.answer(tag, &Tagged::ok(format!("[HIGHESTMODSEQ {}] {}", highest.0, tagged.text)))
            }
            _ => self.answer(tag, &tagged),
        }
    }

    fn refused_here(&self, command: &Command) -> Option<Tagged> {
        match command.needs() {
            Needs::NoLogin if self.user.is_some() => Some(Tagged::bad("Already logged in")),
            Needs::Login | Needs::Mailbox if self.user.is_none() => Some(Tagged::bad("Log in first")),
            Needs::Mailbox if self.selected.is_none() => Some(Tagged::bad("No mailbox is selected")),
            // RFC 9586 §3
            _ if self.enabled.uid_only && command.speaks_of_numbers() => {
                Some(Tagged::bad("[UIDREQUIRED] Message numbers are off, use UIDs"))
            }
            Needs::Nothing | Needs::NoLogin | Needs::Login | Needs::Mailbox => None,
        }
    }

    /// Writes the tagged answer, and counts wrong commands.
    fn answer(&mut self, tag: &str, tagged: &Tagged) -> Result<(), End> {
        let line = format!("{tag} {} {}\r\n", tagged.status.word(), tagged.text);
        self.io.out.extend_from_slice(line.as_bytes());
        if tagged.status == Status::Bad {
            self.bad_commands += 1;
            if self.bad_commands >= BAD_COMMANDS_MAX {
                return Err(End::Bye("Too many invalid commands"));
            }
        } else {
            self.bad_commands = 0;
        }
        Ok(())
    }

    /// Tells the client what changed in its mailbox.
    pub(crate) async fn bring_in_step(&mut self, step: Step, by: By) -> Result<(), Stop> {
        let (ask, expunges) = match step {
            Step::None => return Ok(()),
            Step::Held => (Ask::WhenSignalled, Expunges::Held),
            Step::Told => (Ask::WhenSignalled, Expunges::Told),
            Step::HeldAsked => (Ask::Always, Expunges::Held),
            Step::Asked | Step::Acted => (Ask::Always, Expunges::Told),
        };
        let Some(selected) = self.selected.as_mut() else { return Ok(()) };
        let wanted = self.interests.as_ref().map(|interests| &interests.selected);
        // RFC 5465 §5: the numbers of a client that wants no news keep their meaning. What a command does itself is told.
        if wanted.is_some_and(|wanted| !wanted.messages) && step != Step::Acted {
            return Ok(());
        }
        selected.quiet = wanted.is_some_and(|wanted| !wanted.flags);
        // RFC 5465 §5.1: with the UID.
        let by = if wanted.is_some_and(|wanted| wanted.flags) { By::Uid } else { by };
        let new_from = selected.snapshot.uid_next;
        let room = selected.room.clone();
        match room.refresh(&*self.shared.store, &selected.snapshot, &mut selected.seen, ask).await {
            Ok(next) => {
                command::before_step(selected, &next, expunges, &mut self.io.out);
                selected.move_to(next, expunges, by, &mut self.io.out);
                selected.settle(&mut self.io.out);
            }
            Err(store::StoreError::NoSuch(_)) => {
                self.selected = None;
                return Err(End::Bye("Selected mailbox was deleted").into());
            }
            // RFC 4314 §5.1.1
            Err(store::StoreError::Denied(_)) => {
                self.selected = None;
                return Err(End::Bye("Selected mailbox is not shared with you any more").into());
            }
            Err(error) => return Err(error.into()),
        }
        command::after_step(self, new_from).await
    }

    /// Tells everything the store knows of the selected mailbox, whatever NOTIFY asked for before.
    pub(crate) async fn tell_all(&mut self) -> Result<(), Stop> {
        let interests = self.interests.take();
        let told = Box::pin(self.bring_in_step(Step::Asked, By::Uid)).await;
        self.interests = interests;
        told
    }

    /// Notes messages that the running command put into a mailbox: nobody tells the client what it did itself.
    pub(crate) fn note_made(&mut self, mailbox: MailboxId, uids: impl Iterator<Item = u32>) {
        let follows = self.selected.as_ref().is_some_and(|selected| selected.contexts.is_some());
        if self.interests.is_some() || follows {
            let made = uids.fold(None, |made: Option<Made>, uid| {
                let made = made.unwrap_or(Made { mailbox, first: uid, last: uid, count: 0 });
                Some(Made {
                    mailbox,
                    first: made.first.min(uid),
                    last: made.last.max(uid),
                    count: made.count.saturating_add(1),
                })
            });
            self.made.extend(made);
        }
    }

    /// Notes what else the running command did.
    pub(crate) fn did(&mut self, act: impl FnOnce() -> Act) {
        if let Some(interests) = &mut self.interests {
            interests.did(act());
        }
    }

    /// Logs somebody in.
    pub(crate) fn enter(&mut self, logged_in: LoggedIn) {
        let LoggedIn { account, opener, disabled, seat, revoked } = logged_in;
        let room = self.shared.rooms.account(account);
        let opener = room.one_opener(opener);
        self.user = Some(User { account, opener, room, disabled, revoked, _seat: seat });
        tracing::info!(account = account.0, "imap login");
    }

    /// Logs the account out: nothing of it stays but the failures that were counted.
    pub(crate) async fn forget_user(&mut self) {
        self.leave().await;
        self.user = None;
        self.enabled = Enabled::default();
        self.interests = None;
        self.bad_commands = 0;
        // Another login gets as long as the first.
        self.began = Instant::now();
    }

    /// Turns an extension on; whether it was off. RFC 7162 §3.1: who turns CONDSTORE on in a mailbox is told its
    /// HIGHESTMODSEQ.
    pub(crate) fn turn_on(&mut self, name: &str) -> bool {
        let before = self.enabled;
        let news = self.enabled.turn_on(name);
        if let Some(selected) = &mut self.selected {
            selected.enabled = self.enabled;
            if self.enabled.condstore && !before.condstore {
                selected.write_highest_modseq(&mut self.io.out, "Highest");
            }
        }
        news
    }

    /// Leaves the selected mailbox, without expunging.
    pub(crate) async fn leave(&mut self) {
        self.kept = None;
        let Some(selected) = self.selected.take() else { return };
        if let Some(interests) = &mut self.interests {
            interests.leave(&selected);
        }
        if selected.claimed
            && let Some(user) = &self.user
            && let Err(error) = self.shared.store.claim_recent(user.account, selected.mailbox).await
        {
            tracing::debug!(%error, "recent messages stay recent");
        }
    }

    /// Who is logged in; an answer where there is none, which [`Session::refused_here`] has excluded.
    pub(crate) fn account(&self) -> Result<AccountId, Stop> {
        self.user.as_ref().map(|user| user.account).ok_or_else(|| Tagged::bad("Log in first").into())
    }

    pub(crate) fn selected(&self) -> Result<&Selected, Stop> {
        self.selected.as_ref().ok_or_else(|| Tagged::bad("No mailbox is selected").into())
    }

    /// The selected mailbox, for a command that changes it.
    pub(crate) fn writable(&self) -> Result<&Selected, Stop> {
        let selected = self.selected()?;
        if selected.read_only { Err(Tagged::no("[READ-ONLY] Mailbox is read-only").into()) } else { Ok(selected) }
    }

    /// How this client spells mailbox names.
    pub(crate) fn spelling(&self) -> Spelling {
        if self.enabled.utf8_names() { Spelling::Utf8 } else { Spelling::ModifiedUtf7 }
    }

    /// A mailbox name as it stood in a command.
    pub(crate) fn name(&self, wire: &[u8]) -> Result<MailboxName, NameError> {
        MailboxName::read(wire, self.spelling())
    }

    /// [`Session::name`], for a mailbox to be made.
    pub(crate) fn name_to_create(&self, wire: &[u8]) -> Result<MailboxName, NameError> {
        MailboxName::read_to_create(wire, self.spelling())
    }

    /// Keeps a mail for the next FETCH, unless it is large.
    pub(crate) fn keep(&mut self, id: store::MessageId, mail: &Arc<Mail>) {
        self.kept = (mail.footprint() <= CONTENT_KEPT_BYTES).then(|| (id, mail.clone()));
    }

    /// Waits a moment, as after a failed login.
    pub(crate) async fn pause(&mut self, time: Duration) -> Result<(), End> {
        self.io.flush().await?;
        match Self::wait(&mut self.stopping, None, tokio::time::sleep(time)).await {
            Waited::Done(()) => Ok(()),
            Waited::End(end) => Err(end),
        }
    }

    /// What IDLE waits on at once: the connection, the end of the server, the end of the credential.
    pub(crate) fn waits(
        &mut self,
    ) -> (&mut Connection, &mut watch::Receiver<bool>, Option<&mut watch::Receiver<bool>>) {
        let Self { io, stopping, user, .. } = self;
        (io, stopping, user.as_mut().and_then(|user| user.revoked.as_mut()))
    }
}
