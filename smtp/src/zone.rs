//! Answers DNS for names under `.test`, like a zone would: the sandbox's share of the internet. RFC 1035, RFC 6761.
//!
//! ```text
//!   X.test          A 127.0.0.1     MX 10 mail.X.test     TXT "v=spf1 ip4:127.0.0.0/8 -all"     (any depth)
//!   _dmarc.X.test   TXT "v=DMARC1; p=reject"              (X one label)
//!   1.0.0.127.in-addr.arpa   PTR localhost.test
//!   anything else   NXDOMAIN with a SOA, so that resolvers remember it
//! ```
//! Mail from this machine as `bob@shop.test` so authenticates by the code that real mail goes through.

use crate::dns::RecordData;
use crate::limits::{TXT_STRING_BYTES_MAX, ZONE_CONNECTIONS_MAX, ZONE_IDLE_TIMEOUT, ZONE_QUESTION_BYTES_MAX};
use crate::server::asked_to_stop;
use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, CNAME, MX, PTR, SOA, SRV, TXT};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// Seconds that an answer may be remembered, a denial too.
const TTL: u32 = 60;

/// Octets of a UDP answer without EDNS. RFC 1035 §4.2.1.
const UDP_BYTES_MAX: usize = 512;

/// A bound server on UDP and TCP of one port.
pub struct Zone {
    address: SocketAddr,
    udp: UdpSocket,
    tcp: TcpListener,
    records: Arc<Records>,
}

#[derive(Default)]
struct Records {
    /// Lower-case name without final dot to what is published beside the rule.
    published: RwLock<HashMap<String, Vec<RecordData>>>,
}

/// Adds records to a zone that is running.
#[derive(Clone)]
pub struct ZonePublisher(Arc<Records>);

impl ZonePublisher {
    /// As [`Zone::with_txt`].
    pub fn publish(&self, name: &str, text: &str) {
        self.publish_record(name, RecordData::Txt(text.to_owned()));
    }

    /// As [`Zone::with_record`].
    pub fn publish_record(&self, name: &str, data: RecordData) {
        let mut published = self.0.published.write().unwrap_or_else(PoisonError::into_inner);
        let published = published.entry(key(name)).or_default();
        if !published.contains(&data) {
            published.push(data);
        }
    }
}

impl Zone {
    /// Binds; port 0 picks one.
    pub async fn bind(address: SocketAddr) -> io::Result<Self> {
        // The port that UDP got may be taken for TCP; with port 0 another one will do.
        for _ in 0..16 {
            let udp = UdpSocket::bind(address).await?;
            let bound = udp.local_addr()?;
            match TcpListener::bind(bound).await {
                Ok(tcp) => return Ok(Self { address: bound, udp, tcp, records: Arc::default() }),
                Err(error) if address.port() != 0 => return Err(error),
                Err(_) => {}
            }
        }
        Err(io::ErrorKind::AddrInUse.into())
    }

    /// Publishes a TXT record too, such as a DKIM key at `selector._domainkey.satchel.test`. Where a name has such
    /// records, they replace those of the rule.
    pub fn with_txt(self, name: &str, text: &str) -> Self {
        self.with_record(name, RecordData::Txt(text.to_owned()))
    }

    /// Publishes any record. Where a name has some of a kind, they replace those of the rule.
    pub fn with_record(self, name: &str, data: RecordData) -> Self {
        self.publisher().publish_record(name, data);
        self
    }

    /// What adds records once it runs.
    pub fn publisher(&self) -> ZonePublisher {
        ZonePublisher(Arc::clone(&self.records))
    }

    /// Where it answers.
    pub fn addr(&self) -> SocketAddr {
        self.address
    }

    /// Answers until `shutdown` says `true` or its sender is gone.
    pub async fn run(self, mut shutdown: watch::Receiver<bool>) {
        let mut connections = JoinSet::new();
        let mut question = vec![0; ZONE_QUESTION_BYTES_MAX];
        loop {
            tokio::select! {
                () = asked_to_stop(&mut shutdown) => break,
                Some(_) = connections.join_next() => {}
                received = self.udp.recv_from(&mut question) => match received {
                    Ok((octets, peer)) => {
                        if let Some(answer) = self.records.answer(&question[..octets], Transport::Udp) {
                            // A lost answer is asked for again.
                            let _ = self.udp.send_to(&answer, peer).await;
                        }
                    }
                    Err(error) => pause(&error).await,
                },
                accepted = self.tcp.accept(), if connections.len() < ZONE_CONNECTIONS_MAX => match accepted {
                    Ok((stream, _)) => {
                        connections.spawn(serve(stream, Arc::clone(&self.records)));
                    }
                    Err(error) => pause(&error).await,
                },
            }
        }
    }
}

async fn pause(error: &io::Error) {
    tracing::warn!(%error, "the sandbox DNS socket failed");
    tokio::time::sleep(Duration::from_millis(50)).await;
}

/// RFC 1035 §4.2.2: each message behind its length.
async fn serve(mut stream: TcpStream, records: Arc<Records>) -> Option<()> {
    loop {
        let length = timeout(ZONE_IDLE_TIMEOUT, stream.read_u16()).await.ok()?.ok()?;
        let length = usize::from(length).min(ZONE_QUESTION_BYTES_MAX);
        let mut question = vec![0; length];
        timeout(ZONE_IDLE_TIMEOUT, stream.read_exact(&mut question)).await.ok()?.ok()?;
        let answer = records.answer(&question, Transport::Tcp)?;
        let mut framed = u16::try_from(answer.len()).ok()?.to_be_bytes().to_vec();
        framed.extend_from_slice(&answer);
        timeout(ZONE_IDLE_TIMEOUT, stream.write_all(&framed)).await.ok()?.ok()?;
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Transport {
    Udp,
    Tcp,
}

/// What the zone has at a name.
enum Found {
    Records(Vec<RData>),
    NoSuchName,
}

impl Records {
    /// The answer to one question, both in wire form; none to what is not a question.
    fn answer(&self, question: &[u8], transport: Transport) -> Option<Vec<u8>> {
        let asked = Message::from_vec(question).ok()?;
        if asked.metadata.message_type != MessageType::Query {
            return None;
        }
        let mut answer = Message::new(asked.metadata.id, MessageType::Response, asked.metadata.op_code);
        answer.metadata.recursion_desired = asked.metadata.recursion_desired;
        answer.metadata.recursion_available = true;
        answer.metadata.authoritative = true;
        if let Some(edns) = &asked.edns {
            let mut ours = Edns::new();
            ours.set_max_payload(edns.max_payload().clamp(512, 1232)).set_version(0);
            answer.set_edns(ours);
        }
        answer.add_queries(asked.queries.iter().cloned());
        match asked.queries.as_slice() {
            [query] if asked.metadata.op_code == OpCode::Query && query.query_class() == DNSClass::IN => {
                self.fill(&mut answer, query);
            }
            [_] => answer.metadata.response_code = ResponseCode::NotImp,
            _ => answer.metadata.response_code = ResponseCode::FormErr,
        }
        let wire = answer.to_vec().ok()?;
        let most = asked.edns.as_ref().map_or(UDP_BYTES_MAX, |edns| usize::from(edns.max_payload()).clamp(512, 1232));
        if transport == Transport::Udp && wire.len() > most {
            return answer.truncate().to_vec().ok();
        }
        Some(wire)
    }

    fn fill(&self, answer: &mut Message, query: &Query) {
        let name = query.name();
        match self.find(&key(&name.to_ascii()), query.query_type()) {
            Found::Records(records) if !records.is_empty() => {
                for data in records {
                    answer.add_answer(Record::from_rdata(name.clone(), TTL, data));
                }
            }
            Found::Records(_) => {
                answer.add_authority(start_of_authority(name));
            }
            Found::NoSuchName => {
                answer.metadata.response_code = ResponseCode::NXDomain;
                answer.add_authority(start_of_authority(name));
            }
        }
    }

    fn find(&self, name: &str, kind: RecordType) -> Found {
        if let Some(all) = self.published.read().unwrap_or_else(PoisonError::into_inner).get(name) {
            let of_kind: Vec<RData> = all.iter().filter(|data| data.kind().wire() == kind).filter_map(wire).collect();
            if !of_kind.is_empty() || name.contains('_') {
                return Found::Records(of_kind);
            }
        }
        if name.ends_with(".127.in-addr.arpa") {
            let host = PTR(host_name("localhost.test"));
            return Found::Records(if kind == RecordType::PTR { vec![RData::PTR(host)] } else { Vec::new() });
        }
        let Some(below) = name.strip_suffix(".test") else {
            return if name == "test" { Found::Records(Vec::new()) } else { Found::NoSuchName };
        };
        if let Some(domain) = below.strip_prefix("_dmarc.") {
            if domain.contains(['.', '_']) {
                return Found::NoSuchName;
            }
            let policy = if kind == RecordType::TXT { vec![txt("v=DMARC1; p=reject")] } else { Vec::new() };
            return Found::Records(policy);
        }
        if below.is_empty() || below.contains('_') {
            return Found::NoSuchName;
        }
        Found::Records(match kind {
            RecordType::A => vec![RData::A(A(Ipv4Addr::LOCALHOST))],
            RecordType::TXT => vec![txt("v=spf1 ip4:127.0.0.0/8 -all")],
            RecordType::MX => match Name::from_ascii(format!("mail.{name}.")) {
                Ok(exchange) => vec![RData::MX(MX::new(10, exchange))],
                // A name so long that `mail.` does not fit before it.
                Err(_) => Vec::new(),
            },
            _ => Vec::new(),
        })
    }
}

/// A published record in wire form; none for a name that is none.
fn wire(data: &RecordData) -> Option<RData> {
    let host = |host: &str| Name::from_ascii(format!("{host}.")).ok();
    Some(match data {
        RecordData::Address(IpAddr::V4(address)) => RData::A(A(*address)),
        RecordData::Address(IpAddr::V6(address)) => RData::AAAA(AAAA(*address)),
        RecordData::Mx { preference, host: exchange } => RData::MX(MX::new(*preference, host(exchange)?)),
        RecordData::Txt(text) => txt(text),
        RecordData::Srv { priority, weight, port, host: target } => {
            RData::SRV(SRV::new(*priority, *weight, *port, host(target)?))
        }
        RecordData::Cname(name) => RData::CNAME(CNAME(host(name)?)),
        RecordData::Ptr(name) => RData::PTR(PTR(host(name)?)),
    })
}

/// A text in strings of at most 255 octets. RFC 1035 §3.3.14.
fn txt(text: &str) -> RData {
    RData::TXT(TXT::from_bytes(text.as_bytes().chunks(TXT_STRING_BYTES_MAX).collect()))
}

/// The SOA behind a denial lets resolvers remember it. RFC 2308 §3. Names outside `.test` are denied too, so the zone
/// above them is the root.
fn start_of_authority(name: &Name) -> Record {
    let under_test = key(&name.to_ascii()).rsplit('.').next() == Some("test");
    let apex = if under_test { host_name("test") } else { Name::root() };
    let soa = SOA::new(host_name("ns.test"), host_name("postmaster.test"), 1, 3600, 600, 86_400, TTL);
    Record::from_rdata(apex, TTL, RData::SOA(soa))
}

fn host_name(name: &str) -> Name {
    Name::from_ascii(format!("{name}.")).expect("a name written in this file is well-formed")
}

fn key(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}
