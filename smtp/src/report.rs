//! Reports that servers send each other once a day: who used a domain (DMARC) and whether TLS with it worked (TLS-RPT).
//! RFC 8460, RFC 7489 §7.2.
//!
//! Whoever can write mail can write a report: what is unpacked is bounded, in octets and in parts, and what cannot be read
//! is no report.

use crate::limits::{
    REPORT_ANSWER_BYTES_MAX, REPORT_BYTES_MAX, REPORT_DESTINATIONS_MAX, REPORT_POLICIES_MAX, REPORT_POST_TIMEOUT,
    REPORT_SOURCES_MAX,
};
use crate::{Resolver, TlsPolicy, https};
use futures::future::BoxFuture;
use http_body_util::Full;
use hyper::header::CONTENT_TYPE;
use mail_auth::report::tlsrpt::{
    DateRange, FailureDetails, Policy, PolicyDetails, PolicyType, ResultType, Summary, TlsReport,
};
use mail_auth::report::{DmarcResult, Report};
use mail_parser::{MessageParser, PartType};
use std::net::IpAddr;

/// A report that came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Incoming {
    /// Mail that servers saw in the name of a domain.
    Dmarc(DmarcSeen),
    /// Sessions that servers had with those of domains.
    Tls(TlsSeen),
}

/// What one server saw of a domain. RFC 7489 §7.2.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DmarcSeen {
    /// Who says so.
    pub reporter: String,
    /// Its name for this report.
    pub id: String,
    /// In whose name.
    pub domain: String,
    /// From when on, in seconds of Unix time.
    pub begin: i64,
    /// Where mail came from, how much of it passed, and how much failed.
    pub sources: Vec<(IpAddr, u64, u64)>,
}

/// What one server met. RFC 8460 §4.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsSeen {
    /// Who says so.
    pub reporter: String,
    /// Its name for this report.
    pub id: String,
    /// From when on, in seconds of Unix time.
    pub begin: i64,
    /// One for each policy.
    pub policies: Vec<PolicySeen>,
}

/// Sessions under one policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicySeen {
    /// Whose.
    pub domain: String,
    /// Sessions that were as the policy wants them.
    pub successes: u64,
    /// And those that were not.
    pub failures: u64,
    /// By the words of RFC 8460 §4.3.
    pub types: Vec<(&'static str, u64)>,
}

/// What our sessions with one domain came to, under one policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sessions {
    /// Which.
    pub policy: TlsPolicy,
    /// Sessions that were as it wants them.
    pub successes: u32,
    /// Those that were not, each kind once.
    pub failures: Vec<(SessionFailure, u32)>,
}

/// Why a session failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionFailure {
    /// In the words of RFC 8460 §4.3.
    pub result_type: &'static str,
    /// With which server, where it came to that.
    pub host: Option<String>,
    /// In words.
    pub text: String,
}

/// A TLS report of ours.
#[derive(Debug, Clone)]
pub struct Outgoing<'a> {
    /// About whose servers.
    pub domain: &'a str,
    /// Our server's name.
    pub submitter: &'a str,
    /// Whom to ask.
    pub from: &'a str,
    /// Where the domain wants it.
    pub to: &'a [String],
    /// Our name for it.
    pub id: &'a str,
    /// The first second of the time it is about, in Unix time, and the last.
    pub period: (i64, i64),
    /// What happened.
    pub sessions: &'a [Sessions],
}

/// Reads a mail that may be a report.
pub fn read(mail: &[u8]) -> Option<Incoming> {
    if mail.len() > REPORT_BYTES_MAX || !is_simple(mail) {
        return None;
    }
    if let Ok(report) = TlsReport::parse_rfc5322(mail, REPORT_BYTES_MAX) {
        return Some(Incoming::Tls(tls_seen(report)));
    }
    let report = Report::parse_rfc5322(mail, REPORT_BYTES_MAX).ok()?;
    let mut sources: Vec<(IpAddr, u64, u64)> = Vec::new();
    for record in report.records() {
        let Some(ip) = record.source_ip() else { continue };
        let count = u64::from(record.count());
        // RFC 7489 §3.1: one of the two is enough.
        let passes = record.dmarc_dkim_result() == DmarcResult::Pass || record.dmarc_spf_result() == DmarcResult::Pass;
        let (pass, fail) = if passes { (count, 0) } else { (0, count) };
        let has_room = sources.len() < REPORT_SOURCES_MAX;
        match sources.iter_mut().find(|source| source.0 == ip) {
            Some(source) => (source.1, source.2) = (source.1 + pass, source.2 + fail),
            None if has_room => sources.push((ip, pass, fail)),
            None => {}
        }
    }
    Some(Incoming::Dmarc(DmarcSeen {
        reporter: report.org_name().to_owned(),
        id: report.report_id().to_owned(),
        domain: report.domain().to_lowercase(),
        begin: i64::try_from(report.date_range_begin()).unwrap_or(0),
        sources,
    }))
}

/// Whether no archive in it holds more than one file: archives whose files share their octets unpack to any size, each
/// file within its bound.
fn is_simple(mail: &[u8]) -> bool {
    let Some(message) = MessageParser::new().parse(mail) else { return false };
    let entries = message.parts.iter().map(|part| match &part.body {
        PartType::Binary(octets) | PartType::InlineBinary(octets) => {
            memchr::memmem::find_iter(octets, b"PK\x01\x02").take(2).count()
        }
        _ => 0,
    });
    entries.sum::<usize>() <= 1
}

fn tls_seen(report: TlsReport) -> TlsSeen {
    let policies = report.policies.into_iter().take(REPORT_POLICIES_MAX).map(|one| {
        let mut types: Vec<(&'static str, u64)> = Vec::new();
        for failure in &one.failure_details {
            let (word, count) = (word(failure.result_type), u64::from(failure.failed_session_count));
            match types.iter_mut().find(|known| known.0 == word) {
                Some(known) => known.1 += count,
                None => types.push((word, count)),
            }
        }
        PolicySeen {
            domain: one.policy.policy_domain.to_lowercase(),
            successes: u64::from(one.summary.total_success),
            failures: u64::from(one.summary.total_failure),
            types,
        }
    });
    TlsSeen {
        reporter: report.organization_name.unwrap_or_default(),
        id: report.report_id,
        begin: report.date_range.start_datetime.to_timestamp(),
        policies: policies.collect(),
    }
}

/// A report as a mail, not signed yet. RFC 8460 §5.3: gzip, in a multipart/report, with TLS-Report-Domain and
/// TLS-Report-Submitter.
pub fn compose(report: &Outgoing<'_>) -> std::io::Result<Vec<u8>> {
    let to = report.to.iter().map(String::as_str);
    let mut mail = Vec::new();
    document(report).write_rfc5322(report.domain, report.submitter, report.from, to, &mut mail)?;
    Ok(mail)
}

fn document(report: &Outgoing<'_>) -> TlsReport {
    let policies = report.sessions.iter().map(|sessions| policy(report.domain, sessions));
    TlsReport {
        organization_name: Some(report.submitter.to_owned()),
        date_range: DateRange::from_timestamps(report.period.0, report.period.1),
        contact_info: Some(report.from.to_owned()),
        report_id: report.id.to_owned(),
        policies: policies.collect(),
    }
}

fn policy(domain: &str, sessions: &Sessions) -> Policy {
    let mut policy = PolicyDetails::new(PolicyType::NoPolicyFound, domain);
    match &sessions.policy {
        TlsPolicy::None => {}
        TlsPolicy::Tlsa(host, records) => {
            (policy.policy_type, policy.policy_string) = (PolicyType::Tlsa, records.clone());
            policy.mx_host = vec![host.clone()];
        }
        TlsPolicy::Sts(lines, mx) => {
            (policy.policy_type, policy.policy_string, policy.mx_host) = (PolicyType::Sts, lines.clone(), mx.clone());
        }
    }
    let failure_details = sessions.failures.iter().map(|(failure, count)| FailureDetails {
        receiving_mx_hostname: failure.host.clone(),
        failed_session_count: *count,
        additional_information: Some(failure.text.clone()),
        ..FailureDetails::new(result_type(failure.result_type))
    });
    Policy {
        policy,
        summary: Summary {
            total_success: sessions.successes,
            total_failure: sessions.failures.iter().map(|(_, count)| count).sum(),
        },
        failure_details: failure_details.collect(),
    }
}

/// The same as JSON, for [`post`].
pub fn to_json(report: &Outgoing<'_>) -> String {
    document(report).to_json()
}

/// Hands a report in at an https: address. RFC 8460 §5.4.
///
/// # Errors
/// Why it was not taken, in words.
pub fn post<'a>(resolver: &'a Resolver, uri: &'a str, json: String) -> BoxFuture<'a, Result<(), String>> {
    Box::pin(async move {
        let uri: hyper::Uri = uri.parse().map_err(|error| format!("{uri}: {error}"))?;
        let host = uri.host().unwrap_or_default();
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let request = hyper::Request::post(path).header(CONTENT_TYPE, "application/tlsrpt+json");
        let request = request.body(Full::from(json)).map_err(|error| error.to_string())?;
        let port = uri.port_u16().unwrap_or(https::HTTPS_PORT);
        let answer = https::ask(resolver, host, port, request, REPORT_ANSWER_BYTES_MAX);
        let answer = tokio::time::timeout(REPORT_POST_TIMEOUT, answer).await;
        let answer = answer.map_err(|_| "it took too long".to_owned())?.map_err(https::Failure::into_text)?;
        // RFC 8460 §5.4: any status of 200 to 299 is success.
        if answer.status.is_success() { Ok(()) } else { Err(format!("HTTP status {}", answer.status)) }
    })
}

/// Where a domain wants reports.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Destinations {
    /// Addresses of mailto:.
    pub mail: Vec<String>,
    /// URIs of https:.
    pub https: Vec<String>,
}

/// Reads a domain's record. RFC 8460 §3.
pub fn destinations(texts: &[String]) -> Destinations {
    let mut found = Destinations::default();
    let mut ours = texts.iter().filter(|text| text.split(';').next().is_some_and(|first| first.trim() == "v=TLSRPTv1"));
    // RFC 8460 §3: with two records there is none.
    let (Some(record), None) = (ours.next(), ours.next()) else { return found };
    let uris = record.split(';').filter_map(|field| field.trim().strip_prefix("rua=")).flat_map(|uris| uris.split(','));
    for uri in uris.map(str::trim) {
        let is = |scheme: &str| uri.get(..scheme.len()).is_some_and(|found| found.eq_ignore_ascii_case(scheme));
        if is("mailto:") {
            let address = uri["mailto:".len()..].split(['?', '!']).next().unwrap_or_default();
            if crate::is_mailbox(address) && found.mail.len() < REPORT_DESTINATIONS_MAX {
                found.mail.push(address.to_owned());
            }
        } else if is("https:")
            && uri.parse::<hyper::Uri>().is_ok_and(|uri| uri.host().is_some_and(|host| host.contains('.')))
            && found.https.len() < REPORT_DESTINATIONS_MAX
        {
            found.https.push(uri.to_owned());
        }
    }
    found
}

/// The words of RFC 8460 §4.3.
const WORDS: [(ResultType, &str); 11] = [
    (ResultType::StartTlsNotSupported, "starttls-not-supported"),
    (ResultType::CertificateHostMismatch, "certificate-host-mismatch"),
    (ResultType::CertificateExpired, "certificate-expired"),
    (ResultType::CertificateNotTrusted, "certificate-not-trusted"),
    (ResultType::ValidationFailure, "validation-failure"),
    (ResultType::TlsaInvalid, "tlsa-invalid"),
    (ResultType::DnssecInvalid, "dnssec-invalid"),
    (ResultType::DaneRequired, "dane-required"),
    (ResultType::StsPolicyFetchError, "sts-policy-fetch-error"),
    (ResultType::StsPolicyInvalid, "sts-policy-invalid"),
    (ResultType::StsWebpkiInvalid, "sts-webpki-invalid"),
];

/// One of those words; what is none of them counts as a failure of whatever kind.
pub fn result_word(text: &str) -> &'static str {
    word(result_type(text))
}

fn word(result: ResultType) -> &'static str {
    WORDS.iter().find(|(known, _)| *known == result).map_or("other", |(_, word)| *word)
}

fn result_type(word: &str) -> ResultType {
    WORDS.iter().find(|(_, known)| *known == word).map_or(ResultType::ValidationFailure, |(result, _)| *result)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sessions() -> Vec<Sessions> {
        let failure = |result_type, host: &str| SessionFailure {
            result_type,
            host: Some(host.to_owned()),
            text: "it was so".to_owned(),
        };
        vec![
            Sessions {
                policy: TlsPolicy::Sts(
                    vec!["version: STSv1".into(), "mode: enforce".into()],
                    vec!["*.far.test".into()],
                ),
                successes: 5,
                failures: vec![
                    (failure("certificate-expired", "mx.far.test"), 2),
                    (failure("certificate-expired", "mx2.far.test"), 1),
                    (failure("starttls-not-supported", "mx.far.test"), 4),
                ],
            },
            Sessions { policy: TlsPolicy::None, successes: 1, failures: Vec::new() },
        ]
    }

    fn mail(sessions: &[Sessions]) -> Vec<u8> {
        compose(&Outgoing {
            domain: "far.test",
            submitter: "mx.satchel.test",
            from: "postmaster@satchel.test",
            to: &["tls@far.test".to_owned()],
            id: "2026-11-20.far.test@satchel.test",
            period: (1_795_132_800, 1_795_219_199),
            sessions,
        })
        .unwrap()
    }

    #[test]
    fn a_report_says_what_happened_and_is_read_as_it_was_written() {
        let mail = mail(&sessions());
        let text = String::from_utf8(mail.clone()).unwrap();
        for part in [
            "TLS-Report-Domain: far.test\r\n",
            "TLS-Report-Submitter: mx.satchel.test\r\n",
            "report-type=\"tlsrpt\"",
            "application/tlsrpt+gzip",
            "mx.satchel.test!far.test!1795132800!1795219199.json.gz",
        ] {
            assert!(text.contains(part), "{part:?} is missing from {text}");
        }
        let Some(Incoming::Tls(seen)) = read(&mail) else { panic!("no report") };
        assert_eq!((seen.reporter.as_str(), seen.begin), ("mx.satchel.test", 1_795_132_800));
        let expected = vec![("certificate-expired", 3), ("starttls-not-supported", 4)];
        let [sts, none] = &seen.policies[..] else { panic!("{seen:?}") };
        assert_eq!((sts.domain.as_str(), sts.successes, sts.failures, &sts.types), ("far.test", 5, 7, &expected));
        assert_eq!((none.successes, none.failures), (1, 0));
    }

    /// A mail with one attachment.
    fn attached(kind: &str, name: &str, octets: &[u8]) -> Vec<u8> {
        let encoded = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, octets);
        let lines: Vec<&str> =
            encoded.as_bytes().chunks(76).filter_map(|line| std::str::from_utf8(line).ok()).collect();
        format!(
            "From: r@far.test\r\nSubject: Report\r\nMIME-Version: 1.0\r\nContent-Type: {kind}; name=\"{name}\"\r\n\
             Content-Disposition: attachment; filename=\"{name}\"\r\nContent-Transfer-Encoding: base64\r\n\r\n{}\r\n",
            lines.join("\r\n")
        )
        .into_bytes()
    }

    /// An archive that keeps its files as they are, each entry of the directory for the first one.
    fn zip(file: &[u8], entries: u16) -> Vec<u8> {
        let crc = !file.iter().fold(!0_u32, |mut crc, octet| {
            crc ^= u32::from(*octet);
            for _ in 0..8 {
                crc = crc >> 1 ^ (0xedb8_8320 & (crc & 1).wrapping_neg());
            }
            crc
        });
        let size = u32::try_from(file.len()).unwrap();
        let common = |out: &mut Vec<u8>| {
            for word in [20_u16, 0, 0, 0, 0] {
                out.extend_from_slice(&word.to_le_bytes());
            }
            for word in [crc, size, size] {
                out.extend_from_slice(&word.to_le_bytes());
            }
            out.extend_from_slice(&5_u16.to_le_bytes());
            out.extend_from_slice(&0_u16.to_le_bytes());
        };
        let mut out = b"PK\x03\x04".to_vec();
        common(&mut out);
        out.extend_from_slice(b"r.xml");
        out.extend_from_slice(file);
        let directory = out.len();
        for _ in 0..entries {
            out.extend_from_slice(b"PK\x01\x02\x14\x00");
            common(&mut out);
            out.extend_from_slice(&[0; 14]);
            out.extend_from_slice(b"r.xml");
        }
        let length = u32::try_from(out.len() - directory).unwrap();
        out.extend_from_slice(b"PK\x05\x06\0\0\0\0");
        for _ in 0..2 {
            out.extend_from_slice(&entries.to_le_bytes());
        }
        for word in [length, u32::try_from(directory).unwrap()] {
            out.extend_from_slice(&word.to_le_bytes());
        }
        out.extend_from_slice(&[0; 2]);
        out
    }

    fn dmarc() -> Report {
        let record = |ip: [u8; 4], count, result| {
            mail_auth::report::Record::new().with_source_ip(ip.into()).with_count(count).with_dmarc_spf_result(result)
        };
        Report::new()
            .with_org_name("far.test")
            .with_report_id("r1")
            .with_domain("Satchel.test")
            .with_date_range_begin(1_795_132_800)
            .with_record(record([192, 0, 2, 1], 3, DmarcResult::Pass))
            .with_record(record([192, 0, 2, 1], 1, DmarcResult::Fail))
            .with_record(record([203, 0, 113, 9], 2, DmarcResult::Fail))
    }

    #[test]
    fn dmarc_reports_are_read_however_they_are_packed() {
        let xml = dmarc().to_xml();
        let expected = DmarcSeen {
            reporter: "far.test".into(),
            id: "r1".into(),
            domain: "satchel.test".into(),
            begin: 1_795_132_800,
            sources: vec![([192, 0, 2, 1].into(), 3, 1), ([203, 0, 113, 9].into(), 0, 2)],
        };
        let gzip = dmarc().to_rfc5322("far.test", "r@far.test", ["p@satchel.test"].into_iter()).unwrap();
        for (what, mail) in [
            ("gzip", gzip.into_bytes()),
            ("xml", attached("text/xml", "r.xml", xml.as_bytes())),
            ("zip", attached("application/zip", "r.zip", &zip(xml.as_bytes(), 1))),
        ] {
            assert_eq!(read(&mail), Some(Incoming::Dmarc(expected.clone())), "{what}");
        }
    }

    #[test]
    fn what_unpacks_to_too_much_is_no_report() {
        // Some KiB that unpack to more than is read.
        let failure =
            SessionFailure { result_type: "certificate-expired", host: None, text: "x".repeat(REPORT_BYTES_MAX + 1) };
        let large = mail(&[Sessions { policy: TlsPolicy::None, successes: 0, failures: vec![(failure, 1)] }]);
        assert!(large.len() < 100_000, "{}", large.len());
        assert_eq!(read(&large), None);
        // Many files that are all the same one.
        assert_eq!(read(&attached("application/zip", "r.zip", &zip(dmarc().to_xml().as_bytes(), 1000))), None);
        for nothing in [
            &b""[..],
            b"Subject: hello\r\n\r\nhello\r\n",
            &attached("application/zip", "r.zip", b"PK\x01\x02 and no more"),
            &attached("application/gzip", "r.xml.gz", b"\x1f\x8b\x08"),
            &attached("application/tlsrpt+json", "r.json", b"{\"report-id\": 1}"),
            &attached("text/xml", "r.xml", b"<feedback><record><row>"),
        ] {
            assert_eq!(read(nothing), None);
        }
    }

    #[test]
    fn a_domain_says_where_it_wants_reports() {
        let of = |texts: &[&str]| destinations(&texts.iter().map(|&text| text.to_owned()).collect::<Vec<_>>());
        assert_eq!(of(&["v=TLSRPTv1; rua=mailto:tls@far.test"]).mail, ["tls@far.test"]);
        let both = of(&["x", "v=TLSRPTv1;rua=https://far.test/r?a=1,MAILTO:tls@far.test!10m"]);
        let expected = Destinations { mail: vec!["tls@far.test".into()], https: vec!["https://far.test/r?a=1".into()] };
        assert_eq!(both, expected);
        for nowhere in [
            &["v=TLSRPTv1; rua=http://far.test/r"][..],
            &["v=TLSRPTv1; rua=https://localhost/r"],
            &["v=TLSRPTv2; rua=mailto:tls@far.test"],
            &["v=TLSRPTv1; rua=mailto:a@far.test", "v=TLSRPTv1; rua=mailto:b@far.test"],
            &["v=TLSRPTv1; rua=mailto:no address"],
            &[],
        ] {
            assert_eq!(of(nowhere), Destinations::default(), "{nowhere:?}");
        }
    }
}
