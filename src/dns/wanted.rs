//! Every record that a domain should have.

use smtp::{RecordData, RecordKind};
use store::UnixMs;

use crate::config::Config;
use crate::dkim::{DkimKeys, Stage};
use crate::flow::web_host::mta_sts;
use crate::house::Ports;

/// A record to publish.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// At which name, without the final dot.
    pub name: String,
    /// What.
    pub data: RecordData,
    /// What for, in one line.
    pub why: &'static str,
    /// Mail suffers without it; the others are useful.
    pub needed: bool,
    /// What of the live records will do.
    pub will_do: WillDo,
}

/// Which live records satisfy a wanted one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WillDo {
    /// The same data.
    Same,
    /// The same host among others: a backup may stand beside it.
    Among,
    /// Exactly one text that begins so: the postmaster may be stricter, or know of more senders.
    Beginning(&'static str),
    /// Whatever leads to the server's addresses.
    Leads,
}

impl Wanted {
    /// One that mail needs.
    pub fn needed(name: &str, data: RecordData, why: &'static str, will_do: WillDo) -> Self {
        Self { name: name.to_owned(), data, why, needed: true, will_do }
    }

    /// One that helps.
    pub fn useful(name: &str, data: RecordData, why: &'static str, will_do: WillDo) -> Self {
        Self { needed: false, ..Self::needed(name, data, why, will_do) }
    }
}

/// Every record of a domain but those of the server's addresses. `ports` are the bound ones, where they are known.
pub fn wanted(config: &Config, dkim: &DkimKeys, ports: Option<Ports>, domain: &str, now: UnixMs) -> Vec<Wanted> {
    let name = &config.server.name;
    let mut all = vec![Wanted::needed(
        domain,
        RecordData::Mx { preference: 10, host: name.clone() },
        "mail for the domain comes here",
        WillDo::Among,
    )];
    all.extend(authentication(config, dkim, domain, now));
    all.extend(transport(config, domain));
    all.extend(services(config, ports, domain));
    if !config.server.bimi_logo.is_empty() {
        let logo = txt(format!("v=BIMI1; l={};", config.server.bimi_logo));
        let why = "some show this logo beside mail";
        all.push(Wanted::useful(&format!("default._bimi.{domain}"), logo, why, WillDo::Beginning("v=BIMI1;")));
    }
    all
}

/// SPF, DMARC, DKIM.
fn authentication(config: &Config, dkim: &DkimKeys, domain: &str, now: UnixMs) -> Vec<Wanted> {
    let name = &config.server.name;
    let spf = match config.relay.host_and_port() {
        Some((relay, _)) => format!("v=spf1 mx a:{relay} -all"),
        None => "v=spf1 mx -all".to_owned(),
    };
    let mut all = vec![
        Wanted::needed(domain, txt(spf), "only this server sends mail of the domain", WillDo::Beginning("v=spf1")),
        Wanted::needed(
            &format!("_dmarc.{domain}"),
            txt(format!("v=DMARC1; p=reject; rua=mailto:postmaster@{domain}")),
            "others refuse mail that forges the domain, and report it",
            WillDo::Beginning("v=DMARC1"),
        ),
    ];
    if name != domain {
        // RFC 7208 §2.4: what has no reverse-path, such as a bounce, is judged by the HELO name.
        let why = "bounces, which have no sender, are judged by the server's own name";
        all.push(Wanted::useful(name, txt("v=spf1 a -all".to_owned()), why, WillDo::Beginning("v=spf1")));
    }
    for (key, stage) in dkim.published(domain, now) {
        let (at, record) = key.dns_record();
        all.push(match stage {
            Stage::Signing => {
                Wanted::needed(&at, txt(record), "mail of the domain is signed with this key", WillDo::Same)
            }
            Stage::Published => {
                Wanted::needed(&at, txt(record), "mail of the domain will be signed with this key soon", WillDo::Same)
            }
            Stage::Retired => {
                let why = "signed until lately: mail on its way is checked with it; may go a week after it stopped";
                Wanted::useful(&at, txt(record), why, WillDo::Same)
            }
        });
    }
    all
}

/// MTA-STS and TLS-RPT.
fn transport(config: &Config, domain: &str) -> Vec<Wanted> {
    let mut all = Vec::new();
    if let Some(policy) = mta_sts(config) {
        let digest = ring::digest::digest(&ring::digest::SHA256, format!("{policy:?}").as_bytes());
        // RFC 8461 §3.1: a new id whenever the policy changes.
        let announced = txt(format!("v=STSv1; id={};", hex::encode(&digest.as_ref()[..8])));
        let why = "senders must use TLS: this says that a policy is there, and changes with it";
        all.push(Wanted::useful(&format!("_mta-sts.{domain}"), announced, why, WillDo::Same));
        let host = RecordData::Cname(config.server.name.clone());
        let why = "the policy is fetched here over HTTPS";
        all.push(Wanted::useful(&format!("mta-sts.{domain}"), host, why, WillDo::Leads));
    }
    // RFC 8460 §3.
    let reports = txt(format!("v=TLSRPTv1; rua=mailto:postmaster@{domain}"));
    let why = "senders report failures of TLS";
    all.push(Wanted::useful(&format!("_smtp._tls.{domain}"), reports, why, WillDo::Beginning("v=TLSRPTv1")));
    all
}

/// What mail clients look for.
fn services(config: &Config, ports: Option<Ports>, domain: &str) -> Vec<Wanted> {
    let name = &config.server.name;
    let listen = &config.listen;
    let bound = |port: fn(&Ports) -> Option<u16>, configured: u16| ports.as_ref().map_or(Some(configured), port);
    // RFC 8314 §3.3: TLS from the start is preferred. A port that is not served is not named.
    let all = [
        ("_imaps", bound(|ports| ports.imaps, listen.imaps), 0),
        ("_submissions", bound(|ports| ports.submissions, listen.submissions), 0),
        ("_imap", bound(|ports| ports.imap, listen.imap), 10),
        ("_submission", bound(|ports| ports.submission, listen.submission), 10),
        ("_autodiscover", Some(443), 0),
    ];
    let mut wanted: Vec<Wanted> = all
        .into_iter()
        .filter_map(|(service, port, priority)| {
            let data =
                RecordData::Srv { priority, weight: 1, port: port.filter(|&port| port != 0)?, host: name.clone() };
            let why = match service {
                "_autodiscover" => "Outlook finds its settings",
                _ => "mail clients find the server (RFC 6186)",
            };
            Some(Wanted::useful(&format!("{service}._tcp.{domain}"), data, why, WillDo::Same))
        })
        .collect();
    for (label, why) in
        [("autoconfig", "Thunderbird finds its settings"), ("autodiscover", "Outlook finds its settings")]
    {
        let host = RecordData::Cname(name.clone());
        wanted.push(Wanted::useful(&format!("{label}.{domain}"), host, why, WillDo::Leads));
    }
    wanted
}

/// Whether a record is of a kind the sandbox's own zone publishes: addresses it has for every name.
pub fn is_published_by_zone(data: &RecordData) -> bool {
    matches!(data.kind(), RecordKind::Mx | RecordKind::Txt | RecordKind::Srv)
}

fn txt(text: String) -> RecordData {
    RecordData::Txt(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use smtp::{DkimKey, DkimKind};
    use std::time::Duration;
    use zeroize::Zeroizing;

    const NOW: UnixMs = 1_795_230_000_000;

    fn lines(config: &str, change: impl FnOnce(&DkimKeys)) -> Vec<(bool, String)> {
        let dir = tempfile::tempdir().unwrap();
        let first = || Ok(DkimKey::generate(DkimKind::Ed25519).unwrap());
        let keys = DkimKeys::open(dir.path().join("dkim.json"), Zeroizing::new([7; 32]), first).unwrap();
        change(&keys);
        let config = Config::parse(config, "f.toml").unwrap();
        let all = wanted(&config, &keys, None, "example.org", NOW);
        all.iter().map(|one| (one.needed, one.data.zone_line(&one.name))).collect()
    }

    const CONFIG: &str = "[server]\nname = \"mx.example.org\"\ndomains = [\"example.org\"]\n";

    #[test]
    fn a_domain_has_every_record_and_what_mail_needs_is_marked() {
        let all = lines(&format!("{CONFIG}bimi_logo = \"https://example.org/l.svg\"\n[listen]\nimap = 0\n"), |_| {});
        for (needed, line) in [
            (true, "example.org. IN MX 10 mx.example.org."),
            (true, "example.org. IN TXT \"v=spf1 mx -all\""),
            (true, "_dmarc.example.org. IN TXT \"v=DMARC1; p=reject; rua=mailto:postmaster@example.org\""),
            (false, "mx.example.org. IN TXT \"v=spf1 a -all\""),
            (false, "mta-sts.example.org. IN CNAME mx.example.org."),
            (false, "_smtp._tls.example.org. IN TXT \"v=TLSRPTv1; rua=mailto:postmaster@example.org\""),
            (false, "_imaps._tcp.example.org. IN SRV 0 1 2993 mx.example.org."),
            (false, "_submission._tcp.example.org. IN SRV 10 1 2587 mx.example.org."),
            (false, "_autodiscover._tcp.example.org. IN SRV 0 1 443 mx.example.org."),
            (false, "autoconfig.example.org. IN CNAME mx.example.org."),
            (false, "default._bimi.example.org. IN TXT \"v=BIMI1; l=https://example.org/l.svg;\""),
        ] {
            assert!(all.contains(&(needed, line.to_owned())), "{line} among {all:#?}");
        }
        assert!(
            all.iter().any(|(needed, line)| *needed && line.starts_with("satchel1._domainkey.example.org. IN TXT"))
        );
        assert!(!all.iter().any(|(_, line)| line.starts_with("_imap._tcp")), "port 0 is not known yet");
    }

    #[test]
    fn keys_that_come_are_needed_keys_that_go_are_not_and_a_relay_is_named() {
        let all = lines(&format!("{CONFIG}mta_sts = \"off\"\n[relay]\nserver = \"out.example.net:587\"\n"), |keys| {
            keys.rotate(DkimKind::Ed25519, Duration::ZERO, NOW).unwrap();
            keys.rotate(DkimKind::Rsa, Duration::from_secs(3600), NOW).unwrap();
        });
        let needed = |at: &str| all.iter().find(|(_, line)| line.starts_with(at)).map(|(needed, _)| *needed);
        let of_keys = ["satchel1._domainkey", "satchel2._domainkey", "satchel3._domainkey"].map(needed);
        assert_eq!(of_keys, [Some(false), Some(true), Some(true)]);
        assert!(all.contains(&(true, "example.org. IN TXT \"v=spf1 mx a:out.example.net -all\"".to_owned())));
        assert_eq!((needed("_mta-sts"), needed("mta-sts")), (None, None));
    }

    #[test]
    fn another_policy_has_another_id() {
        let id = |mode: &str| {
            let all = lines(&format!("{CONFIG}mta_sts = \"{mode}\"\n"), |_| {});
            all.into_iter().find(|(_, line)| line.starts_with("_mta-sts")).unwrap().1
        };
        assert_eq!(id("testing"), id("testing"));
        assert_ne!(id("testing"), id("enforce"));
    }
}
