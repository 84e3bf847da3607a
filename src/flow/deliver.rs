//! One try: the recipients of one mail that go the same way, and what became of each.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use smtp::client::{
    ClientError, Credentials, Deadlines, Outcome, Outgoing, OutgoingRecipient, Reply, Security, Sent, Session, Target,
};
use smtp::{DnsError, Hop, ReversePath, Route, TlsPolicy};
use store::{Batch, CaughtMail, QueueItem, QueueOutcome};

use crate::config::{Network, Relay, RelayTls};
use crate::flow::queued::Queued;
use crate::flow::{return_path, submit};
use crate::house::{House, now_ms};

/// Mails in one session: servers count them, and a fresh connection may meet a server that is less busy. Postfix's limit.
const MAILS_PER_SESSION: usize = 100;

/// Which way a mail goes. Everything for one next hop shares sessions.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum NextHop {
    /// A letter of the bridge to somebody who lives here.
    Ourselves,
    /// The sandbox's catch-all.
    CatchAll,
    /// Where `[routes]` says.
    Route(SocketAddr),
    /// The server that `[relay]` names.
    Relay,
    /// The servers of a domain.
    Domain(String),
}

impl NextHop {
    /// Whether a mail that goes this way is needed in one piece.
    pub fn takes_whole_mails(&self) -> bool {
        matches!(self, Self::Ourselves | Self::CatchAll)
    }

    /// The way to a mailbox.
    pub fn of(house: &House, mailbox: &str) -> Self {
        let domain = mailbox.rsplit_once('@').map_or("", |(_, domain)| domain).to_lowercase();
        if house.config.is_local_domain(&domain) {
            return Self::Ourselves;
        }
        match house.config.routes.get(&domain) {
            Some(address) => Self::Route(*address),
            None if !house.config.relay.server.is_empty() => Self::Relay,
            None if house.config.network == Network::Sandbox && is_test(&domain) => Self::CatchAll,
            None => Self::Domain(domain),
        }
    }
}

fn is_test(domain: &str) -> bool {
    domain == "test" || domain.ends_with(".test")
}

/// What one recipient's try came to.
#[derive(Debug, Clone)]
#[expect(
    missing_docs,
    reason = "`status` is RFC 3463, `text` for people, `by` the server that said so; the same everywhere"
)]
pub enum Try {
    /// Taken. `told`: the next server does what NOTIFY asks from now on, or the recipient lives here. `keeps_time`:
    /// likewise for BY.
    Taken { told: bool, keeps_time: bool, by: Option<String>, said: String },
    /// Come again.
    Later { status: String, text: String, by: Option<String> },
    /// The server took as many recipients of this mail as it takes at once: the others go next, at once.
    Next { text: String },
    /// Never.
    Never { status: String, text: String, by: Option<String> },
}

impl Try {
    fn later(text: impl Into<String>) -> Self {
        Self::Later { status: "4.4.1".to_owned(), text: text.into(), by: None }
    }

    fn of(outcome: Outcome, (told, keeps_time): (bool, bool), by: &str, others_taken: bool) -> Self {
        let by = Some(by.to_owned());
        let text = outcome.reply().to_string();
        match outcome {
            Outcome::Delivered(_) => Self::Taken { told, keeps_time, by, said: text },
            // RFC 5321 §4.5.3.1.10: too many recipients (552 in older servers).
            Outcome::Temporary(Reply { enhanced: Some((4, 5, 3)), .. }) if others_taken => Self::Next { text },
            Outcome::Temporary(reply) => Self::Later { status: status(&reply, 4), text, by },
            Outcome::Permanent(reply) => Self::Never { status: status(&reply, 5), text, by },
        }
    }
}

fn status(reply: &Reply, class: u8) -> String {
    let (class, subject, detail) = reply.enhanced.unwrap_or((class, 0, 0));
    format!("{class}.{subject}.{detail}")
}

/// Carries mail to one next hop, through one session as long as that lives.
pub struct Courier {
    house: Arc<House>,
    hop: NextHop,
    session: Option<(Session, bool)>,
}

/// What a try came to, for all recipients in order.
pub struct Tried {
    /// One each.
    pub tries: Vec<Try>,
    /// The next hop cannot be reached at all: whatever else waits for it need not be tried now.
    pub unreachable: bool,
}

impl Courier {
    /// Not connected yet.
    pub fn new(house: Arc<House>, hop: NextHop) -> Self {
        Self { house, hop, session: None }
    }

    /// Says goodbye.
    pub async fn quit(self) {
        if let Some((session, _)) = self.session {
            session.quit().await;
        }
    }

    /// Tries recipients of one mail.
    pub async fn carry(&mut self, items: &[QueueItem], queued: &Queued) -> Tried {
        // RFC 2852 §4: with R, what is late comes back, and is not delivered after all.
        let by = items.first().and_then(|first| first.wishes.deliver_by);
        if by.is_some_and(|by| by.returns && by.at <= now_ms()) {
            let text = "it could not be delivered in the time that its sender gave it (BY)".to_owned();
            let late = Try::Never { status: "5.4.7".into(), text, by: None };
            return Tried { tries: vec![late; items.len()], unreachable: false };
        }
        let message = queued.beginning();
        match self.hop {
            NextHop::Ourselves => Tried { tries: to_ourselves(&self.house, items, message).await, unreachable: false },
            NextHop::CatchAll => {
                let mut tries = Vec::with_capacity(items.len());
                for item in items {
                    tries.push(catch(&self.house, item, message).await);
                }
                Tried { tries, unreachable: false }
            }
            NextHop::Route(_) | NextHop::Relay | NextHop::Domain(_) => self.send(items, queued).await,
        }
    }

    async fn send(&mut self, items: &[QueueItem], queued: &Queued) -> Tried {
        let (house, message) = (Arc::clone(&self.house), queued.beginning());
        let Some(first) = items.first() else { return Tried { tries: Vec::new(), unreachable: false } };
        let reverse_path = reverse_path(&house, first);
        let recipients: Vec<OutgoingRecipient> = items.iter().map(recipient).collect();
        let all = |one: Try, unreachable| Tried { tries: vec![one; items.len()], unreachable };
        let survey = match queued.survey(&house, &signing_keys(&house, message)).await {
            Ok(survey) => survey,
            Err(error) => return all(Try::later(format!("the mail cannot be read: {error}")), false),
        };
        let rest = queued.rest(&house, &survey);
        let rest = rest.as_ref().map(|rest| rest as &dyn smtp::client::Rest);
        let head = survey.signatures.unwrap_or_else(|error| {
            tracing::error!(%error, "a mail goes out without a DKIM signature");
            String::new()
        });
        let outgoing = Outgoing {
            reverse_path: &reverse_path,
            recipients: &recipients,
            head: head.as_bytes(),
            message,
            smtputf8: needs_smtputf8(message),
            ret: first.wishes.return_full.map(|full| if full { smtp::Ret::Full } else { smtp::Ret::Hdrs }),
            envid: first.wishes.envid.as_deref(),
            require_tls: first.wishes.require_tls,
            priority: first.wishes.priority,
            deliver_by: first.wishes.deliver_by.map(|by| time_left(by, now_ms())),
        };
        // A server may have closed the session meanwhile: then a fresh one is tried, as if there had been none.
        if let Some((mut session, name_is_sure)) = self.session.take()
            && session.is_usable()
            && session.mails() < MAILS_PER_SESSION
            && (!outgoing.require_tls || name_is_sure && session.is_verified())
        {
            match session.send_with_rest(&outgoing, rest).await {
                Err(ClientError::Lost(_) | ClientError::NotReady(_)) => {}
                done => return self.done(session, name_is_sure, done, items.len()),
            }
        }
        let mut hops = match hops(&house, &self.hop).await {
            Ok(hops) => hops,
            Err(one) => return all(one, true),
        };
        if is_tls_report(first, message) {
            // RFC 8460 §3: a report about failing TLS is not held up by it.
            for hop in &mut hops {
                (hop.security, hop.enforced) = (Security::Opportunistic, false);
            }
        }
        let mut last = Try::later("no server could be reached");
        for hop in &hops {
            if outgoing.require_tls && !hop.name_is_sure {
                // RFC 8689 §4.2.1: the name itself must be proved, by DNSSEC or MTA-STS.
                let text = "the sender requires TLS all the way, and nothing proves which server is the right one";
                last = Try::Never { status: "5.7.10".into(), text: text.into(), by: None };
                continue;
            }
            let sure = match outgoing.require_tls && !hop.security.verifies() {
                true => Some(Hop { security: Security::Trusted, enforced: true, ..hop.clone() }),
                false => None,
            };
            match open(&house, &self.hop, sure.as_ref().unwrap_or(hop)).await {
                Ok(mut session) => {
                    let done = session.send_with_rest(&outgoing, rest).await;
                    return self.done(session, hop.name_is_sure, done, items.len());
                }
                Err(error) => {
                    let reply = error.reply();
                    last = Try::Later {
                        status: status(&reply, 4),
                        text: error.to_string(),
                        by: Some(hop.target.host.clone()),
                    };
                }
            }
        }
        let unreachable = matches!(last, Try::Later { .. });
        all(last, unreachable)
    }

    /// Keeps the session for the next mail where it can take one.
    fn done(&mut self, session: Session, sure: bool, sent: Result<Sent, ClientError>, count: usize) -> Tried {
        let by = session.host().to_owned();
        if session.is_usable() {
            self.session = Some((session, sure));
        }
        let tries = match sent {
            Ok(Sent { outcomes, reports, keeps_time }) => {
                let taken = outcomes.iter().any(|outcome| matches!(outcome, Outcome::Delivered(_)));
                outcomes.into_iter().map(|outcome| Try::of(outcome, (reports, keeps_time), &by, taken)).collect()
            }
            Err(error) => {
                let reply = error.reply();
                let one = match error.is_permanent() {
                    true => Try::Never { status: status(&reply, 5), text: reply.to_string(), by: Some(by) },
                    false => Try::Later { status: status(&reply, 4), text: error.to_string(), by: Some(by) },
                };
                vec![one; count]
            }
        };
        Tried { tries, unreachable: false }
    }
}

async fn open(house: &House, way: &NextHop, hop: &Hop) -> Result<Session, ClientError> {
    let helo = &house.config.server.name;
    let credentials = match way {
        NextHop::Relay => credentials(&house.config.relay).map_err(ClientError::Login)?,
        NextHop::Ourselves | NextHop::CatchAll | NextHop::Route(_) | NextHop::Domain(_) => None,
    };
    let opened = Session::open(&hop.target, helo, &hop.security, credentials.as_ref(), Deadlines::default()).await;
    if let NextHop::Domain(domain) = way {
        house.tls_counts.session(domain, &hop.policy, &opened, now_ms());
    }
    match opened {
        // A policy in testing: told of, and the mail goes as it can.
        Err(ClientError::Tls { .. }) if !hop.enforced => {
            Session::open(&hop.target, helo, &Security::Opportunistic, None, Deadlines::default()).await
        }
        opened => opened,
    }
}

/// What the smart host wants to hear.
fn credentials(relay: &Relay) -> Result<Option<Credentials>, String> {
    if relay.user.is_empty() {
        return Ok(None);
    }
    let path = relay.password_file.display();
    let text = std::fs::read_to_string(&relay.password_file).map_err(|error| format!("{path}: {error}"))?;
    let password = smtp::Secret::new(text.lines().next().unwrap_or_default().to_owned());
    Ok(Some(Credentials { user: relay.user.clone(), password }))
}

/// The smart host as a hop: there is no other, so its name is as sure as its certificate.
async fn relay_hop(house: &House) -> Result<Hop, Try> {
    let relay = &house.config.relay;
    let Some((host, port)) = relay.host_and_port() else { return Err(Try::later("[relay] names no server")) };
    let Ok(running) = house.running() else { return Err(Try::later("the server is stopping")) };
    let addresses = match host.parse() {
        Ok(ip) => vec![ip],
        Err(_) => running.resolver.addresses(host).await.map_err(|error| Try::later(error.to_string()))?,
    };
    let verified = relay.tls != RelayTls::Off;
    Ok(Hop {
        target: Target {
            host: host.to_owned(),
            addresses: addresses.into_iter().map(|ip: IpAddr| SocketAddr::new(ip, port)).collect(),
            implicit_tls: relay.tls == RelayTls::Implicit,
        },
        security: if verified { Security::Trusted } else { Security::Off },
        enforced: true,
        name_is_sure: verified,
        policy: TlsPolicy::None,
    })
}

/// Servers to try, best first.
async fn hops(house: &House, hop: &NextHop) -> Result<Vec<Hop>, Try> {
    let domain = match hop {
        NextHop::Route(address) => {
            let target = Target { host: address.ip().to_string(), addresses: vec![*address], implicit_tls: false };
            return Ok(vec![Hop {
                target,
                security: Security::Opportunistic,
                enforced: false,
                name_is_sure: false,
                policy: TlsPolicy::None,
            }]);
        }
        NextHop::Relay => return relay_hop(house).await.map(|hop| vec![hop]),
        NextHop::Domain(domain) => domain,
        NextHop::Ourselves | NextHop::CatchAll => return Ok(Vec::new()),
    };
    let Ok(running) = house.running() else { return Err(Try::later("the server is stopping")) };
    let now = Instant::now();
    let never = |status: &str, text: String| Try::Never { status: status.into(), text, by: None };
    let route = running.router.route(domain, now).await;
    if let Ok(Route { policy_failure: Some(why), .. }) = &route {
        house.tls_counts.no_policy(domain, why, now_ms());
    }
    match route {
        Ok(route) if route.hops.is_empty() => {
            let why = route.left_out.first().map_or_else(String::new, |(host, why)| format!(": {host}: {why}"));
            Err(Try::later(format!("no server of {domain} can be used{why}")))
        }
        Ok(route) => Ok(route.hops),
        Err(error @ DnsError::NullMx(_)) => Err(never("5.1.10", error.to_string())),
        Err(error @ DnsError::NoSuchName(_)) => Err(never("5.1.2", error.to_string())),
        Err(error) => {
            Err(Try::Later { status: "4.4.3".into(), text: format!("looking up {domain}: {error}"), by: None })
        }
    }
}

/// Who gets bounces: our own users' address with its tag.
fn reverse_path(house: &House, item: &QueueItem) -> ReversePath {
    let address = item.reverse_path.as_str();
    if address.is_empty() {
        return ReversePath::Null;
    }
    let domain = address.rsplit_once('@').map_or("", |(_, domain)| domain).to_lowercase();
    let tagged = house.config.is_local_domain(&domain).then(|| return_path::tag(house, address, now_ms())).flatten();
    ReversePath::Mailbox(tagged.unwrap_or_else(|| address.to_owned()))
}

/// What the next server is told of BY. RFC 2852 §4.
fn time_left(by: store::DeliverBy, now: store::UnixMs) -> smtp::DeliverBy {
    smtp::DeliverBy {
        seconds: (by.at - now).div_euclid(1000),
        mode: if by.returns { smtp::ByMode::Return } else { smtp::ByMode::Notify },
        trace: by.trace,
    }
}

fn recipient(item: &QueueItem) -> OutgoingRecipient {
    let notify = item.recipient_wishes.notify.map(|notify| smtp::Notify {
        success: notify.success,
        failure: notify.failure,
        delay: notify.delay,
    });
    OutgoingRecipient { mailbox: item.recipient.clone(), notify, orcpt: item.recipient_wishes.orcpt.clone() }
}

/// The DKIM keys of the From domain, when that is ours.
fn signing_keys(house: &House, message: &[u8]) -> Vec<smtp::DkimKey> {
    let facts = converter::facts(message);
    let Some(domain) = facts.author().map(|author| author.domain.to_lowercase()) else { return Vec::new() };
    if !house.config.is_local_domain(&domain) {
        return Vec::new();
    }
    house.keys.dkim.signing(&domain, now_ms())
}

/// One of our own TLS reports.
fn is_tls_report(item: &QueueItem, message: &[u8]) -> bool {
    item.account.is_none() && !converter::field_values(message, "TLS-Report-Domain").is_empty()
}

/// RFC 6532: whether the header itself is beyond ASCII.
fn needs_smtputf8(message: &[u8]) -> bool {
    !message[..converter::header_length(message)].is_ascii()
}

/// The sandbox's catch-all takes what no route names.
async fn catch(house: &House, item: &QueueItem, message: &[u8]) -> Try {
    let mail = CaughtMail {
        from: item.reverse_path.clone(),
        to: item.recipient.clone(),
        message: message.to_vec(),
        at: now_ms(),
    };
    match house.store.catch_mail(mail).await {
        Ok(()) => Try::Taken { told: false, keeps_time: true, by: None, said: String::new() },
        Err(error) => Try::later(error.to_string()),
    }
}

/// A letter of the bridge to one of our own: filed, once, with the item's end.
async fn to_ourselves(house: &House, items: &[QueueItem], message: &[u8]) -> Vec<Try> {
    let mut tries = Vec::with_capacity(items.len());
    for item in items {
        let now = now_ms();
        let filed = match submit::letter(house, &item.recipient, message, now).await {
            Ok(deliveries) if !deliveries.is_empty() => {
                let causes = Batch { deliveries, ..Batch::default() };
                // Filing and ticking off are one commit: a crash between would file it twice.
                house.store.finish_queue(vec![QueueOutcome::Done(item.id)], causes, now).await.map(|()| true)
            }
            Ok(_) => Ok(false),
            Err(refusal) => {
                tries.push(Try::later(refusal.text));
                continue;
            }
        };
        tries.push(match filed {
            Ok(true) => Try::Taken { told: true, keeps_time: true, by: None, said: String::new() },
            Ok(false) => Try::Never { status: "5.1.1".into(), text: "there is no such mailbox here".into(), by: None },
            Err(error) => Try::later(error.to_string()),
        });
    }
    tries
}
