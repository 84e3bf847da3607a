//! The way to a domain: DNSSEC, DANE and MTA-STS, against a signed zone, a server with TLS and a policy host.

use crate::support::host::start;
use crate::support::nameserver::name;
use hickory_proto::dnssec::crypto::Ed25519SigningKey;
use hickory_proto::dnssec::rdata::{DNSKEY, DNSSECRData, DS, NSEC, RRSIG};
use hickory_proto::dnssec::{Algorithm, DigestType, DnssecSigner, PublicKey as _, SigningKey as _};
use hickory_proto::op::{Edns, Message, MessageType};
use hickory_proto::rr::rdata::tlsa::{CertUsage, Matching, Selector};
use hickory_proto::rr::rdata::{A, CNAME, MX, NS, SOA, TLSA, TXT};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordSet, RecordType};
use ring::digest::{SHA256, digest};
use smtp::client::{ClientError, Deadlines, Security, Session, TlsFailure};
use smtp::{DnsConfig, DnsError, Hop, Kind, Resolver, Router, ServerConfig, TlsPolicy, TlsStart, TrustAnchor};
use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::UdpSocket;

const DAY: Duration = Duration::from_secs(86_400);

/// Zones and their keys as on the Internet: a signed root, `far.test` below it with keys of its own and a DS record,
/// `plain.test` delegated without keys, `forged.test` signed with a key that its DS record does not name. Everything else
/// lies in the root.
struct SignedZone {
    records: HashMap<(String, RecordType), Vec<RData>>,
    /// Apexes and what signs there.
    signers: Vec<(&'static str, Option<DnssecSigner>)>,
}

fn signer(apex: &str) -> DnssecSigner {
    let pkcs8 = Ed25519SigningKey::generate_pkcs8().unwrap();
    let key = Ed25519SigningKey::from_pkcs8(&pkcs8).unwrap();
    let dnskey = DNSKEY::from_key(&key.to_public_key().unwrap());
    DnssecSigner::new(dnskey, Box::new(key), name(&format!("{apex}.")), DAY)
}

impl SignedZone {
    fn new() -> Self {
        let mut zone = Self { records: HashMap::new(), signers: Vec::new() };
        let (root, far) = (signer(""), signer("far.test"));
        let (named, other) = (signer("forged.test"), signer("forged.test"));
        for (apex, keys, ds) in
            [("", Some(&root), None), ("far.test", Some(&far), Some(&far)), ("plain.test", None, None)]
        {
            zone.add_apex(apex, keys, ds);
        }
        zone.add_apex("forged.test", Some(&named), Some(&named));
        zone.signers =
            vec![("", Some(root)), ("far.test", Some(far)), ("plain.test", None), ("forged.test", Some(other))];
        zone
    }

    fn add_apex(&mut self, apex: &str, keys: Option<&DnssecSigner>, ds: Option<&DnssecSigner>) {
        let owner = name(&format!("{apex}."));
        self.add(apex, RData::NS(NS(name("ns.test."))));
        self.add(apex, soa());
        if let Some(keys) = keys {
            self.add(apex, RData::DNSSEC(DNSSECRData::DNSKEY(keys.to_dnskey())));
        }
        if let Some(ds) = ds {
            let digest = ds.dnskey().to_digest(&owner, DigestType::SHA256).unwrap();
            let tag = ds.calculate_key_tag().unwrap();
            let ds = DS::new(tag, Algorithm::ED25519, DigestType::SHA256, digest.as_ref().to_vec());
            self.add(apex, RData::DNSSEC(DNSSECRData::DS(ds)));
        }
    }

    fn add(&mut self, at: &str, data: RData) {
        self.records.entry((at.to_owned(), data.record_type())).or_default().push(data);
    }

    /// A domain with one server at loopback.
    fn add_domain(&mut self, domain: &str) {
        let host = format!("mx.{domain}");
        self.add(domain, RData::MX(MX::new(10, name(&format!("{host}.")))));
        self.add(&host, RData::A(A(Ipv4Addr::LOCALHOST)));
    }

    /// What the resolver trusts, in a file.
    fn anchor(&self) -> tempfile::NamedTempFile {
        let key = self.signers[0].1.as_ref().unwrap().key().to_public_key().unwrap();
        let key = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, key.public_bytes());
        let file = tempfile::NamedTempFile::new().unwrap();
        let algorithm = u8::from(Algorithm::ED25519);
        std::fs::write(file.path(), format!(". 3600 IN DNSKEY 257 3 {algorithm} {key}\n")).unwrap();
        file
    }

    /// The zone that answers for a name; for DS records it is the one above.
    fn zone_of(&self, text: &str, kind: RecordType) -> &(&'static str, Option<DnssecSigner>) {
        let holds = |apex: &str| match apex {
            "" => true,
            _ if text == apex => kind != RecordType::DS,
            _ => text.strip_suffix(apex).is_some_and(|rest| rest.ends_with('.')),
        };
        self.signers.iter().filter(|(apex, _)| holds(apex)).max_by_key(|(apex, _)| apex.len()).unwrap()
    }

    fn signed(
        &self,
        owner: &str,
        kind: RecordType,
        datas: &[RData],
        (_, signer): &(&str, Option<DnssecSigner>),
    ) -> Vec<Record> {
        let owner = name(&format!("{owner}."));
        let mut set = RecordSet::with_ttl(owner.clone(), kind, 60);
        for data in datas {
            set.add_rdata(data.clone());
        }
        let mut out: Vec<Record> = set.records_without_rrsigs().cloned().collect();
        let Some(signer) = signer else { return out };
        let since = time::OffsetDateTime::now_utc() - Duration::from_secs(3600);
        let signature = RRSIG::from_rrset(&set, DNSClass::IN, since, signer).unwrap();
        out.push(Record::from_rdata(owner, 60, RData::DNSSEC(DNSSECRData::RRSIG(signature))));
        out
    }

    fn answer(&self, question: &[u8]) -> Vec<u8> {
        let question = Message::from_vec(question).unwrap();
        let query = question.queries[0].clone();
        let mut reply = Message::new(question.metadata.id, MessageType::Response, question.metadata.op_code);
        reply.metadata.recursion_available = true;
        let mut edns = Edns::new();
        edns.set_max_payload(4096).set_dnssec_ok(true);
        reply.set_edns(edns);
        let kind = query.query_type();
        let mut text = query.name().to_ascii().trim_end_matches('.').to_ascii_lowercase();
        while kind != RecordType::CNAME
            && let Some([RData::CNAME(alias)]) = self.records.get(&(text.clone(), RecordType::CNAME)).map(Vec::as_slice)
        {
            let zone = self.zone_of(&text, kind);
            for record in self.signed(&text, RecordType::CNAME, &[RData::CNAME(alias.clone())], zone) {
                reply.add_answer(record);
            }
            text = alias.to_ascii().trim_end_matches('.').to_owned();
        }
        let zone = self.zone_of(&text, kind);
        match self.records.get(&(text.clone(), kind)) {
            Some(datas) => {
                for record in self.signed(&text, kind, datas, zone) {
                    reply.add_answer(record);
                }
            }
            None => {
                // Everything that is not there is denied as it is asked for; of a zone below, only that it is there.
                let is_cut = text != zone.0 && self.signers.iter().any(|(apex, _)| *apex == text);
                let kinds = self.records.keys().filter(|(at, _)| *at == text).map(|(_, kind)| *kind);
                let kinds: Vec<RecordType> = if is_cut { vec![RecordType::NS] } else { kinds.collect() };
                if zone.1.is_some() {
                    let owner = name(&format!("{text}."));
                    let next = Name::from_labels(std::iter::once(&b"\0"[..]).chain(owner.iter())).unwrap();
                    let nsec = RData::DNSSEC(DNSSECRData::NSEC(NSEC::new_cover_self(next, kinds)));
                    for record in self.signed(&text, RecordType::NSEC, &[nsec], zone) {
                        reply.add_authority(record);
                    }
                }
                for record in self.signed(zone.0, RecordType::SOA, &[soa()], zone) {
                    reply.add_authority(record);
                }
            }
        }
        reply.add_query(query);
        reply.to_vec().unwrap()
    }

    async fn serve(self) -> SocketAddr {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        tokio::spawn(async move {
            let mut buffer = [0; 4096];
            loop {
                let Ok((octets, peer)) = socket.recv_from(&mut buffer).await else { continue };
                let _ = socket.send_to(&self.answer(&buffer[..octets]), peer).await;
            }
        });
        address
    }
}

fn soa() -> RData {
    RData::SOA(SOA::new(name("ns.test."), name("postmaster.test."), 1, 3600, 600, 86_400, 60))
}

fn tlsa(usage: CertUsage, selector: Selector, data: &[u8]) -> RData {
    RData::TLSA(TLSA::new(usage, selector, Matching::Sha256, digest(&SHA256, data).as_ref().to_vec()))
}

/// A server with a certificate of its own; the certificate.
async fn tls_server() -> (crate::support::host::Running, Vec<u8>) {
    let key = rcgen::generate_simple_self_signed(vec!["mx.far.test".to_owned()]).unwrap();
    let certificate = key.cert.der().clone();
    let secret = rustls_pki_types::PrivatePkcs8KeyDer::from(key.signing_key.serialize_der());
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], secret.into())
        .unwrap();
    let config = ServerConfig::new(Kind::Mx, "mx.far.test").with_tls(Arc::new(config), TlsStart::StartTls);
    (start(config).await, certificate.to_vec())
}

fn router(zone: SocketAddr, anchor: &tempfile::NamedTempFile, smtp: u16) -> Router {
    let config = DnsConfig {
        timeout: Duration::from_secs(2),
        trust_anchor: TrustAnchor::File(anchor.path().to_owned()),
        ..DnsConfig::server(zone)
    };
    Router::with_ports(Resolver::new(config).unwrap(), smtp, 1)
}

async fn hop(router: &Router, domain: &str) -> Hop {
    let route = router.route(domain, Instant::now()).await.unwrap();
    assert_eq!(route.left_out, [], "{domain}");
    route.hops.into_iter().next().unwrap()
}

async fn open(hop: &Hop) -> Result<Session, ClientError> {
    let second = Duration::from_secs(5);
    let deadlines = Deadlines { connect: second, reply: second, final_reply: second, delivery: second };
    Session::open(&hop.target, "out.test", &hop.security, None, deadlines).await
}

#[tokio::test]
async fn a_proved_tlsa_record_decides_which_certificate_is_the_right_one() {
    let (server, certificate) = tls_server().await;
    let port = server.address.port();
    let mut zone = SignedZone::new();
    for domain in ["far.test", "wrong.test", "useless.test", "none.test", "plain.test", "forged.test"] {
        zone.add_domain(domain);
    }
    let at = |domain: &str| format!("_{port}._tcp.mx.{domain}");
    zone.add(&at("far.test"), tlsa(CertUsage::DaneEe, Selector::Full, &certificate));
    zone.add(&at("wrong.test"), tlsa(CertUsage::DaneEe, Selector::Full, b"another certificate"));
    zone.add(&at("useless.test"), tlsa(CertUsage::PkixEe, Selector::Full, b"another certificate"));
    // Unsigned, so it says nothing.
    zone.add(&at("plain.test"), tlsa(CertUsage::DaneEe, Selector::Full, b"another certificate"));
    // An alias that is proved leads to the records at its end; one that is not leads nowhere. RFC 7672 §2.2.3.
    zone.add("alias.test", RData::MX(MX::new(10, name("mx.alias.test."))));
    zone.add("mx.alias.test", RData::CNAME(CNAME(name("mx.far.test."))));
    zone.add("unsure.test", RData::MX(MX::new(10, name("unsure.plain.test."))));
    zone.add("unsure.plain.test", RData::CNAME(CNAME(name("mx.far.test."))));
    let anchor = zone.anchor();
    let router = router(zone.serve().await, &anchor, port);

    let far = hop(&router, "far.test").await;
    assert!(matches!(&far.security, Security::Dane(_)) && far.enforced && far.name_is_sure, "{far:?}");
    assert!(matches!(&far.policy, TlsPolicy::Tlsa(host, records) if host == "mx.far.test" && records.len() == 1));
    let session = open(&far).await.unwrap();
    assert!(session.is_verified() && session.tls().is_some());

    let wrong = open(&hop(&router, "wrong.test").await).await.err().unwrap();
    assert!(matches!(wrong, ClientError::Tls { failure: TlsFailure::NotTrusted, .. }), "{wrong}");
    assert!(!wrong.is_permanent(), "the mail waits");

    let useless = hop(&router, "useless.test").await;
    assert!(matches!(useless.security, Security::Encrypted), "{useless:?}");
    assert!(open(&useless).await.unwrap().tls().is_some());

    let none = hop(&router, "none.test").await;
    assert!(matches!(none.security, Security::Opportunistic) && none.name_is_sure, "{none:?}");
    let plain = hop(&router, "plain.test").await;
    assert!(matches!(plain.security, Security::Opportunistic) && !plain.name_is_sure, "{plain:?}");

    let alias = hop(&router, "alias.test").await;
    assert!(matches!(&alias.security, Security::Dane(_)) && alias.target.host == "mx.far.test", "{alias:?}");
    let unsure = hop(&router, "unsure.test").await;
    assert!(matches!(unsure.security, Security::Opportunistic), "{unsure:?}");

    let forged = router.route("forged.test", Instant::now()).await;
    assert!(matches!(&forged, Err(error @ DnsError::Unavailable { .. }) if !error.is_permanent()), "{forged:?}");
}

#[tokio::test]
async fn without_signatures_there_is_no_dane_and_mail_goes_on() {
    let mut zone = SignedZone::new();
    zone.add_domain("plain.test");
    let anchor = SignedZone::new().anchor();
    let router = router(zone.serve().await, &anchor, 25);
    let hop = hop(&router, "plain.test").await;
    assert!(matches!(hop.security, Security::Opportunistic) && !hop.name_is_sure, "{hop:?}");
    assert_eq!(hop.target.addresses, [SocketAddr::from((Ipv4Addr::LOCALHOST, 25))]);
}

#[tokio::test]
async fn a_policy_that_is_announced_and_cannot_be_had_is_told_and_mail_goes_on() {
    let mut zone = SignedZone::new();
    zone.add_domain("plain.test");
    zone.add("_mta-sts.plain.test", RData::TXT(TXT::new(vec!["v=STSv1; id=1;".to_owned()])));
    zone.add("mta-sts.plain.test", RData::A(A(Ipv4Addr::LOCALHOST)));
    let config = DnsConfig { timeout: Duration::from_secs(2), ..DnsConfig::server(zone.serve().await) };
    let router = Router::with_ports(Resolver::new(config).unwrap(), 25, 1);
    let route = router.route("plain.test", Instant::now()).await.unwrap();
    assert_eq!(route.policy_failure.unwrap().result_type, "sts-policy-fetch-error");
    assert!(matches!(route.hops[0].security, Security::Opportunistic));
}

/// Runs `policies` in a process whose certificate authority is one of our own.
#[test]
fn policies_are_fetched_over_https_and_kept_to() {
    let folder = tempfile::tempdir().unwrap();
    let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority = rcgen::CertifiedIssuer::self_signed(params, rcgen::KeyPair::generate().unwrap()).unwrap();
    let domains = ["far", "testing", "wrong", "broken"];
    let mut names: Vec<String> = domains.iter().map(|domain| format!("mta-sts.{domain}.test")).collect();
    names.extend(["mx.far.test".to_owned(), "mx.wrong.test".to_owned()]);
    let key = rcgen::KeyPair::generate().unwrap();
    let leaf = rcgen::CertificateParams::new(names).unwrap().signed_by(&key, &authority).unwrap();
    std::fs::write(folder.path().join("authority.pem"), authority.pem()).unwrap();
    std::fs::write(folder.path().join("leaf.pem"), leaf.pem()).unwrap();
    std::fs::write(folder.path().join("key.pem"), key.serialize_pem()).unwrap();
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "route::policies", "--ignored", "--nocapture"])
        .env("SSL_CERT_FILE", folder.path().join("authority.pem"))
        .env_remove("SSL_CERT_DIR")
        .env("SATCHEL_TEST_CERTIFICATES", folder.path())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

/// Answers with the policy of the host that is asked for.
async fn policy_host(tls: Arc<rustls::ServerConfig>) -> u16 {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let acceptor = tokio_rustls::TlsAcceptor::from(tls);
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                request.push(stream.read_u8().await.unwrap());
            }
            let request = String::from_utf8(request).unwrap();
            assert!(request.starts_with("GET /.well-known/mta-sts.txt HTTP/1.1\r\n"), "{request}");
            let policy = |mode: &str, mx: &str| format!("version: STSv1\nmode: {mode}\nmx: {mx}\nmax_age: 86400\n");
            let body = match request.to_ascii_lowercase().split_once("host: mta-sts.").unwrap().1.split('.').next() {
                Some("far") => policy("enforce", "mx.far.test"),
                Some("testing") => policy("testing", "*.testing.test"),
                Some("wrong") => policy("enforce", "mail.wrong.test"),
                _ => "no policy".to_owned(),
            };
            let head = format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n", body.len());
            stream.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
            let _ = stream.shutdown().await;
        }
    });
    port
}

#[tokio::test]
#[ignore = "run by policies_are_fetched_over_https_and_kept_to, with an authority of its own"]
async fn policies() {
    use rustls_pki_types::pem::PemObject as _;
    let folder = std::path::PathBuf::from(std::env::var_os("SATCHEL_TEST_CERTIFICATES").unwrap());
    let leaf = rustls_pki_types::CertificateDer::from_pem_file(folder.join("leaf.pem")).unwrap();
    let key = rustls_pki_types::PrivateKeyDer::from_pem_file(folder.join("key.pem")).unwrap();
    let tls = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![leaf], key)
        .unwrap();
    let tls = Arc::new(tls);
    let https = policy_host(Arc::clone(&tls)).await;
    let server = start(ServerConfig::new(Kind::Mx, "mx.far.test").with_tls(tls, TlsStart::StartTls)).await;
    let mut zone = SignedZone::new();
    for domain in ["far.test", "testing.test", "wrong.test", "broken.test"] {
        zone.add_domain(domain);
        zone.add(&format!("_mta-sts.{domain}"), RData::TXT(TXT::new(vec!["v=STSv1; id=1;".to_owned()])));
        zone.add(&format!("mta-sts.{domain}"), RData::A(A(Ipv4Addr::LOCALHOST)));
    }
    let resolver = Resolver::new(DnsConfig::server(zone.serve().await)).unwrap();
    let router = Router::with_ports(resolver, server.address.port(), https);

    let far = hop(&router, "far.test").await;
    assert!(matches!(far.security, Security::Trusted) && far.enforced && far.name_is_sure, "{far:?}");
    assert!(open(&far).await.unwrap().is_verified());
    // The certificate has no such name: told of, and the mail would go all the same.
    let testing = hop(&router, "testing.test").await;
    assert!(matches!(testing.security, Security::Trusted) && !testing.enforced, "{testing:?}");
    let error = open(&testing).await.err().unwrap();
    assert!(matches!(error, ClientError::Tls { failure: TlsFailure::WrongName, .. }), "{error}");
    let wrong = router.route("wrong.test", Instant::now()).await.unwrap();
    assert!(wrong.hops.is_empty() && wrong.left_out[0].0 == "mx.wrong.test", "{wrong:?}");
    let broken = router.route("broken.test", Instant::now()).await.unwrap();
    assert_eq!(broken.policy_failure.unwrap().result_type, "sts-policy-invalid");
    assert!(matches!(broken.hops[0].security, Security::Opportunistic));
}
