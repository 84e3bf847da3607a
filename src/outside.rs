//! What another mail system would think of this one: for `satchel check`, asked of the running server, which connects to
//! itself. It looks from where the server stands: a firewall further out is not seen.

mod probe;

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use serde_json::{Value, json};
use smtp::{AuthResult, Authentication, DmarcPolicy, TlsPolicy};

use crate::config::{MtaStsMode, WalletBackend};
use crate::flow::web_host::mta_sts;
use crate::house::{House, Running, now_ms};
use crate::{dns, wallet};

/// Days before its end that a certificate should have been renewed.
const EXPIRES_SOON_DAYS: i64 = 14;
/// Addresses of a name that are tried; a mail server has one of each kind, a large site a few.
const ADDRESSES_MAX: usize = 4;
/// RFC 5321 §4.5.4.2.
const SMTP_PORT: u16 = 25;
/// RFC 8555 §8.3.
const HTTP_PORT: u16 = 80;

/// Looks at names, records, mail, certificates and ports.
pub async fn look(house: &House, dnsbl: &[String]) -> anyhow::Result<Value> {
    let running = house.running()?;
    let mut look = Look {
        house,
        running,
        name: &house.config.server.name,
        // The sandbox's own zone answers: nobody outside can reach this server, and nothing is amiss with that.
        pretends: house.zone.get().is_some(),
        addresses: Vec::new(),
        findings: Vec::new(),
    };
    let mut addresses = running.resolver.addresses(look.name).await.unwrap_or_default();
    addresses.truncate(ADDRESSES_MAX);
    look.addresses = addresses;
    for domain in &house.config.server.domains {
        look.records(domain).await?;
        look.mail(domain).await;
        look.policy(domain).await;
    }
    look.wallet().await?;
    look.port_25().await;
    look.certificates();
    look.ports().await;
    look.challenge().await;
    for list in dnsbl {
        look.listed(list).await;
    }
    Ok(Value::Array(look.findings))
}

struct Look<'a> {
    house: &'a House,
    running: &'a Running,
    name: &'a str,
    pretends: bool,
    addresses: Vec<IpAddr>,
    findings: Vec<Value>,
}

impl Look<'_> {
    fn say(&mut self, check: &str, ok: bool, text: impl Into<String>) {
        self.findings.push(json!({ "check": check, "ok": ok, "text": text.into() }));
    }

    /// Worth doing; nothing is wrong without.
    fn advise(&mut self, check: &str, text: impl Into<String>) {
        self.findings.push(json!({ "check": check, "ok": true, "advice": true, "text": text.into() }));
    }

    /// What is wrong everywhere but in the sandbox, where nobody can come from outside.
    fn say_outside(&mut self, check: &str, ok: bool, text: String) {
        if ok || !self.pretends {
            self.say(check, ok, text);
        } else {
            self.advise(check, format!("{text} (in the sandbox nobody minds)"));
        }
    }

    /// Whether the node is there and sees the chain. The sandbox's always does.
    async fn wallet(&mut self) -> anyhow::Result<()> {
        if self.house.config.has_sandbox() {
            return Ok(());
        }
        let chain = wallet::chain(self.house).await?;
        if let Some(why) = chain["away"].as_str() {
            let text = format!("away: {why}; mail goes on, nobody is asked to pay, and it is tried again");
            self.say("wallet", false, text);
            return Ok(());
        }
        let place = match self.house.config.wallet.backend {
            WalletBackend::Embedded => wallet::place(&self.house.config),
            other => other.name().to_owned(),
        };
        let number = |key: &str| chain[key].as_u64().unwrap_or(0);
        let at = format!(
            "{place}: block {}, {} behind its source, in step {} s ago",
            number("height"),
            number("behind"),
            number("synced_seconds_ago")
        );
        if let Some(why) = chain["source_trouble"].as_str() {
            self.say("wallet", false, format!("{at}; {why}: no payment is claimed until it does"));
            return Ok(());
        }
        let fresh = chain["fresh"] == true;
        self.say(
            "wallet",
            fresh,
            if fresh { at } else { format!("{at}: no payment is claimed until it has caught up") },
        );
        Ok(())
    }

    /// MX, SPF, DKIM, DMARC, PTR and the rest, as `satchel dns` judges them.
    async fn records(&mut self, domain: &str) -> anyhow::Result<()> {
        let report = dns::records(self.house, domain).await?;
        let mut good = 0;
        for row in report["records"].as_array().into_iter().flatten() {
            if row["status"] == "ok" {
                good += 1;
                continue;
            }
            let text = |key: &str| row[key].as_str().unwrap_or_default();
            let found = row["found"].as_str().map(|found| format!("; there is: {found}")).unwrap_or_default();
            let said = format!(
                "{} of {} is {}: {}; publish: {}{found}",
                text("type"),
                text("name"),
                text("status"),
                text("why"),
                text("zone"),
            );
            if row["needed"] == true { self.say("dns", false, said) } else { self.advise("dns", said) }
        }
        self.say("dns", true, format!("{domain}: {good} records are as they should be"));
        Ok(())
    }

    /// A mail of the domain, signed as ours are, is judged as others would: by SPF, DKIM and DMARC.
    async fn mail(&mut self, domain: &str) {
        let sender = format!("postmaster@{domain}");
        let date = chrono::DateTime::from_timestamp_millis(now_ms()).unwrap_or_default().to_rfc2822();
        let message = format!(
            "From: {sender}\r\nTo: {sender}\r\nSubject: How this looks from outside\r\nDate: {date}\r\n\
             Message-ID: <check.{}@{domain}>\r\n\r\nNobody reads this.\r\n",
            now_ms()
        );
        let keys = self.house.keys.dkim.signing(domain, now_ms());
        let signatures: Result<String, _> = keys.iter().map(|key| key.sign(message.as_bytes())).collect();
        let signed = match signatures {
            Ok(signatures) => format!("{signatures}{message}"),
            Err(error) => return self.say("dkim", false, format!("mail of {domain} cannot be signed: {error}")),
        };
        // New every time: what was wrong an hour ago is not remembered here.
        let judge = smtp::Authenticator::new(self.name, &self.running.resolver);
        let path = smtp::ReversePath::Mailbox(sender);
        let relay = self.house.config.relay.host_and_port().is_some();
        let addresses = match self.addresses.is_empty() {
            true => vec![self.house.config.listen.address],
            false => self.addresses.clone(),
        };
        for (at, address) in addresses.into_iter().enumerate() {
            let found = judge.verify(address, self.name, &path, signed.as_bytes()).await;
            if relay {
                self.advise("spf", "mail leaves by the relay of [relay]: SPF is judged by its address, not by ours");
            } else {
                let text = format!(
                    "SPF of {domain} says {} for mail from {address}{}",
                    word(found.spf.result),
                    if found.spf.result == AuthResult::Pass { "" } else { ": add `mx`, or the address, to the record" }
                );
                self.say("spf", found.spf.result == AuthResult::Pass, text);
            }
            if at == 0 {
                self.signatures(domain, &found);
            }
        }
    }

    fn signatures(&mut self, domain: &str, found: &Authentication) {
        for signature in &found.dkim {
            let ok = signature.result == AuthResult::Pass;
            let fix = if ok { "" } else { ": publish its record, `satchel dns` has it" };
            let text =
                format!("the DKIM signature {} of {domain} says {}{fix}", signature.selector, word(signature.result));
            self.say("dkim", ok, text);
        }
        let aligned = found.dmarc.result == AuthResult::Pass && found.is_aligned();
        let policy = match found.dmarc.policy {
            DmarcPolicy::None if aligned => {
                "; its policy asks for nothing to be done with forgeries: make it p=reject once reports are quiet"
            }
            DmarcPolicy::None | DmarcPolicy::Quarantine | DmarcPolicy::Reject => "",
        };
        let fix = match aligned {
            true => String::new(),
            false => format!(": SPF or DKIM must pass, and _dmarc.{domain} must have one record"),
        };
        let text = format!("DMARC of {domain} says {} for our own mail{fix}{policy}", word(found.dmarc.result));
        self.say("dmarc", aligned, text);
    }

    /// RFC 8461: announced, fetched as a sender fetches it, and what we meant.
    async fn policy(&mut self, domain: &str) {
        let Some(meant) = mta_sts(&self.house.config) else {
            return self.advise("mta-sts", "server.mta_sts is off: senders may be talked into sending without TLS");
        };
        let resolver = self.running.resolver.clone();
        let route = match (self.pretends, self.running.ports.https) {
            (true, Some(https)) => smtp::Router::with_ports(resolver, SMTP_PORT, https),
            (true, None) | (false, _) => smtp::Router::new(resolver),
        };
        let route = match route.route(domain, Instant::now()).await {
            Ok(route) => route,
            Err(error) => return self.say("mta-sts", false, format!("nobody finds the way to {domain}: {error}")),
        };
        let ours = web::mta_sts_policy(&meant);
        let fetched = route.hops.iter().find_map(|hop| match &hop.policy {
            TlsPolicy::Sts(lines, _) => Some(lines),
            TlsPolicy::None | TlsPolicy::Tlsa(..) => None,
        });
        let where_to = "port 443 of it must lead to listen.https, with a certificate for that name";
        match (fetched, route.policy_failure, route.left_out.first()) {
            (Some(lines), ..) if lines.iter().map(String::as_str).eq(ours.lines()) => {
                self.say("mta-sts", true, format!("the policy of {domain} is found, and is ours"));
            }
            (Some(lines), ..) => {
                let text = format!(
                    "the policy of {domain} is another one: {}; a proxy or an old copy serves it",
                    lines.join(", ")
                );
                self.say("mta-sts", false, text);
            }
            (None, Some(failure), _) => {
                let text = format!("the policy at mta-sts.{domain} cannot be had: {}; {where_to}", failure.text);
                self.say_outside("mta-sts", false, text);
            }
            (None, None, Some((host, why))) => self.say("mta-sts", false, format!("{host} is left out: {why}")),
            (None, None, None) => {
                self.advise("mta-sts", format!("no policy of {domain} is announced: publish _mta-sts.{domain}"))
            }
        }
    }

    /// What a sender meets.
    async fn port_25(&mut self) {
        let Some(bound) = self.running.ports.smtp else {
            return self.advise("smtp", "the role \"gateway\" is not run here: port 25 is looked at where it is");
        };
        let own = SocketAddr::new(self.reachable_listener(), bound);
        let mut seen_any = false;
        let public = if self.pretends { Vec::new() } else { self.addresses.clone() };
        for address in public {
            let at = SocketAddr::new(address, SMTP_PORT);
            match probe::look(at, self.name).await {
                Ok(seen) => {
                    seen_any = true;
                    self.session(at, seen).await;
                }
                Err(why) => {
                    let text =
                        format!("{at}, where mail for {} comes to: {why}; lead it to port {bound} here", self.name);
                    self.say("smtp", false, text);
                }
            }
        }
        if !seen_any {
            match probe::look(own, self.name).await {
                Ok(seen) => self.session(own, seen).await,
                Err(why) => self.say("smtp", false, format!("{own}: {why}")),
            }
        }
    }

    fn reachable_listener(&self) -> IpAddr {
        match self.house.config.listen.address {
            address if !address.is_unspecified() => address,
            IpAddr::V4(_) => IpAddr::from([127, 0, 0, 1]),
            IpAddr::V6(_) => IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1]),
        }
    }

    async fn session(&mut self, at: SocketAddr, seen: probe::Seen) {
        let name = self.name;
        for (what, said) in [("greets", &seen.greeting), ("answers EHLO", &seen.ehlo)] {
            // RFC 5321 §4.3.1: the first word is the host's name; others compare it with its address and reverse name.
            let ok = said.eq_ignore_ascii_case(name);
            let fix = if ok { "" } else { ": something stands in front of this server, or server.name is another one" };
            self.say("smtp", ok, format!("{at} {what} as {said}{fix}"));
        }
        match seen.relay.as_bytes().first() {
            Some(b'5') => self.say("relay", true, format!("{at} relays for nobody: {}", seen.relay)),
            Some(b'4') => self.say("relay", true, format!("{at} does not relay, but only puts off: {}", seen.relay)),
            _ => {
                let text =
                    format!("{at} took a recipient that is not ours: {}; spammers will find that: stop it", seen.relay);
                self.say("relay", false, text);
            }
        }
        let facts = match seen.certificate {
            Ok(facts) => facts,
            Err(why) => return self.say("certificate", false, format!("{at} does not do STARTTLS: {why}")),
        };
        let days = (facts.not_after - now_ms() / 1000).div_euclid(86_400);
        let until = crate::command::rfc3339(facts.not_after * 1000);
        if !facts.covers(name) {
            let text = format!("{at} shows a certificate for {}, not for {name}", facts.names.join(", "));
            self.say("certificate", false, text);
        }
        let is_soon = days < EXPIRES_SOON_DAYS;
        let fix = if is_soon { ": renew it" } else { "" };
        self.say("certificate", !is_soon, format!("{at} shows a certificate until {until}, {days} days{fix}"));
        match probe::is_trusted(at, name).await {
            Ok(()) => {
                self.say("certificate", true, format!("senders that want a certificate they can trust get one at {at}"))
            }
            Err(why) => {
                let kind = if facts.self_signed {
                    "it is self-signed"
                } else {
                    "this machine's authorities do not vouch for it"
                };
                let text = format!(
                    "{at}: {kind}: mail clients ask, and senders that insist do not deliver ({why}); set tls.acme, or \
                     tls.certificate and tls.key"
                );
                self.say_outside("certificate", false, text);
            }
        }
    }

    /// Names beside the server's own that somebody will ask a certificate for.
    fn certificates(&mut self) {
        let enforced = self.house.config.server.mta_sts == MtaStsMode::Enforce;
        for domain in &self.house.config.server.domains {
            for (label, why) in [
                ("mta-sts", "no sender can fetch the MTA-STS policy"),
                ("autoconfig", "Thunderbird does not find its settings"),
                ("autodiscover", "Outlook does not find its settings"),
            ] {
                let host = format!("{label}.{domain}");
                if self.running.certificates.facts_for(&host).is_some_and(|facts| !facts.self_signed) {
                    continue;
                }
                let text = format!(
                    "there is none for {host}: unless a proxy in front has one, {why}; add the name to tls.acme_names, or a pair \
                     to tls.further"
                );
                if label == "mta-sts" && enforced {
                    self.say_outside("certificate", false, text);
                } else {
                    self.advise("certificate", text);
                }
            }
        }
    }

    /// Whether what mail clients use can be reached at the addresses the DNS gives.
    async fn ports(&mut self) {
        let served = self.running.ports;
        let all = [
            ("submission", served.submission),
            ("submissions", served.submissions),
            ("imap", served.imap),
            ("imaps", served.imaps),
            ("web", served.web),
            ("https", served.https),
        ];
        for address in self.addresses.clone() {
            for (what, port) in all {
                let Some(port) = port else { continue };
                let at = SocketAddr::new(address, port);
                match probe::answers(at).await {
                    Ok(()) => self.say("ports", true, format!("{what} answers at {at}")),
                    Err(why) => self.say("ports", false, format!("{what} at {at} ({}): {why}", self.name)),
                }
            }
        }
    }

    /// A CA asks at port 80 of every name.
    async fn challenge(&mut self) {
        let Some(acme) = &self.running.acme else { return };
        let path = format!("/.well-known/acme-challenge/{}", acme.probe());
        for name in acme.names() {
            let addresses = self.running.resolver.addresses(name).await.unwrap_or_default();
            if addresses.is_empty() {
                self.say("acme", false, format!("{name} has no address in the DNS: no CA can ask there"));
            }
            for address in addresses.into_iter().take(ADDRESSES_MAX) {
                let port = self.running.ports.web.filter(|_| self.pretends).unwrap_or(HTTP_PORT);
                let at = SocketAddr::new(address, port);
                match probe::finds(at, name, &path, acme.probe()).await {
                    Ok(()) => self.say("acme", true, format!("a CA that asks for {name} at {at} finds this server")),
                    Err(why) => {
                        let text = format!(
                            "a CA that asks for {name} at {at} does not find this server: {why}; lead it to listen.web"
                        );
                        self.say("acme", false, text);
                    }
                }
            }
        }
    }

    /// RFC 5782 §2.1: the address reversed, below the list's name.
    async fn listed(&mut self, list: &str) {
        for address in self.addresses.clone() {
            let reversed = smtp::reverse_name(address);
            let reversed = reversed.trim_end_matches(".in-addr.arpa").trim_end_matches(".ip6.arpa");
            match self.running.resolver.addresses(&format!("{reversed}.{list}")).await {
                Ok(_) => {
                    let text = format!(
                        "{address} is listed at {list}: many refuse mail from it; the list says how to get off"
                    );
                    self.say("dnsbl", false, text);
                }
                Err(error) if error.is_permanent() => {
                    self.say("dnsbl", true, format!("{address} is not listed at {list}"));
                }
                Err(error) => self.advise("dnsbl", format!("{list} could not be asked: {error}")),
            }
        }
    }
}

fn word(result: AuthResult) -> &'static str {
    match result {
        AuthResult::None => "none",
        AuthResult::Pass => "pass",
        AuthResult::Fail => "fail",
        AuthResult::SoftFail => "softfail",
        AuthResult::Neutral => "neutral",
        AuthResult::TempError => "temperror",
        AuthResult::PermError => "permerror",
    }
}
