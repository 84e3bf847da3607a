//! The DNS of a test: every name and record that exists, over UDP and TCP; names that are silent, and names that fail.

use hickory_proto::op::{Edns, Message, MessageType, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, CNAME, MX, PTR, TXT};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use smtp::{Authenticator, DnsConfig, Resolver};
use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, UdpSocket};

/// Records by lower-case name without the final dot.
#[derive(Debug, Default)]
pub struct World {
    records: HashMap<String, Vec<RData>>,
    silent: HashSet<(String, Option<RecordType>)>,
    failing: HashSet<String>,
}

impl World {
    /// A name that may have nothing but exists.
    pub fn add_name(&mut self, name: &str) {
        self.records.entry(name.to_lowercase()).or_default();
    }

    pub fn add(&mut self, name: &str, data: RData) {
        self.records.entry(name.to_lowercase()).or_default().push(data);
    }

    /// A TXT record in these strings, octet for octet.
    pub fn add_txt(&mut self, name: &str, strings: Vec<Vec<u8>>) {
        let cut: Vec<&[u8]> = strings.iter().flat_map(|string| string.chunks(255)).collect();
        self.add(name, RData::TXT(TXT::from_bytes(cut)));
    }

    pub fn add_a(&mut self, name: &str, address: &str) {
        self.add(name, RData::A(A(address.parse().unwrap())));
    }

    pub fn add_aaaa(&mut self, name: &str, address: &str) {
        self.add(name, RData::AAAA(AAAA(address.parse().unwrap())));
    }

    pub fn add_mx(&mut self, name: &str, preference: u16, exchange: &str) {
        self.add(name, RData::MX(MX::new(preference, host(exchange))));
    }

    pub fn add_ptr(&mut self, name: &str, target: &str) {
        self.add(name, RData::PTR(PTR(host(target))));
    }

    pub fn add_cname(&mut self, name: &str, target: &str) {
        self.add(name, RData::CNAME(CNAME(host(target))));
    }

    /// Questions about this name, of this type or of any, are never answered; what it has is.
    pub fn silence(&mut self, name: &str, kind: Option<RecordType>) {
        self.silent.insert((name.to_lowercase(), kind));
    }

    /// SERVFAIL to everything about this name.
    pub fn fail(&mut self, name: &str) {
        self.failing.insert(name.to_lowercase());
    }

    /// Serves it, and gives an authenticator that asks it.
    pub async fn authenticator(self) -> Authenticator {
        Authenticator::new("mx.satchel.test", &self.resolver().await)
    }

    /// Serves it, and gives a resolver that asks it. Silence is waited for half a second.
    pub async fn resolver(self) -> Resolver {
        let address = self.serve().await;
        Resolver::new(DnsConfig { timeout: Duration::from_millis(250), ..DnsConfig::server(address) }).unwrap()
    }

    pub async fn serve(self) -> SocketAddr {
        let (udp, tcp) = loop {
            let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            if let Ok(tcp) = TcpListener::bind(udp.local_addr().unwrap()).await {
                break (udp, tcp);
            }
        };
        let address = udp.local_addr().unwrap();
        let world = Arc::new(self);
        let over_tcp = Arc::clone(&world);
        tokio::spawn(async move {
            loop {
                let Ok((mut stream, _)) = tcp.accept().await else { continue };
                let world = Arc::clone(&over_tcp);
                tokio::spawn(async move {
                    while let Ok(length) = stream.read_u16().await {
                        let mut question = vec![0; length.into()];
                        stream.read_exact(&mut question).await.ok()?;
                        let answer = world.answer(&question)?.to_vec().unwrap();
                        stream.write_u16(u16::try_from(answer.len()).unwrap()).await.ok()?;
                        stream.write_all(&answer).await.ok()?;
                    }
                    Some(())
                });
            }
        });
        tokio::spawn(async move {
            let mut buffer = [0; 4096];
            loop {
                let Ok((octets, peer)) = udp.recv_from(&mut buffer).await else { continue };
                let Some(answer) = world.answer(&buffer[..octets]) else { continue };
                let wire = answer.to_vec().unwrap();
                let wire = if wire.len() > 1232 { answer.truncate().to_vec().unwrap() } else { wire };
                let _ = udp.send_to(&wire, peer).await;
            }
        });
        address
    }

    /// The answer to a question; none when there shall be silence.
    fn answer(&self, question: &[u8]) -> Option<Message> {
        let question = Message::from_vec(question).unwrap();
        let query = question.queries[0].clone();
        let mut reply = Message::new(question.metadata.id, MessageType::Response, question.metadata.op_code);
        reply.metadata.recursion_available = true;
        if question.edns.is_some() {
            let mut edns = Edns::new();
            edns.set_max_payload(1232);
            reply.set_edns(edns);
        }
        reply.add_query(query.clone());
        let mut name = key(query.name());
        let mut owner = query.name().clone();
        // Aliases are followed, as a recursive resolver would.
        for _ in 0..8 {
            if self.failing.contains(&name) {
                reply.metadata.response_code = ResponseCode::ServFail;
                return Some(reply);
            }
            let known = self.records.get(&name);
            let fitting: Vec<&RData> = known.map_or_else(Vec::new, |all| {
                all.iter().filter(|data| data.record_type() == query.query_type()).collect()
            });
            let is_silent = |kind| self.silent.contains(&(name.clone(), kind));
            if is_silent(Some(query.query_type())) || fitting.is_empty() && is_silent(None) {
                return None;
            }
            for data in &fitting {
                reply.add_answer(Record::from_rdata(owner.clone(), 60, (*data).clone()));
            }
            let alias = known
                .and_then(|all| all.iter().find_map(|data| if let RData::CNAME(to) = data { Some(to) } else { None }));
            match alias.filter(|_| fitting.is_empty()) {
                Some(target) => {
                    reply.add_answer(Record::from_rdata(owner, 60, RData::CNAME(target.clone())));
                    (owner, name) = (target.0.clone(), key(&target.0));
                }
                None => {
                    let below = format!(".{name}");
                    let exists = known.is_some() || self.records.keys().any(|other| other.ends_with(&below));
                    if !exists {
                        reply.metadata.response_code = ResponseCode::NXDomain;
                    }
                    return Some(reply);
                }
            }
        }
        Some(reply)
    }
}

fn key(name: &Name) -> String {
    // Labels as octets: `to_ascii` would escape what is no host name.
    let labels: Vec<String> = name.iter().map(|label| String::from_utf8_lossy(label).to_lowercase()).collect();
    labels.join(".")
}

/// A name whose labels may hold anything.
pub fn host(name: &str) -> Name {
    let labels = name.trim_end_matches('.').split('.').filter(|label| !label.is_empty()).map(str::as_bytes);
    let mut name = Name::from_labels(labels).unwrap();
    name.set_fqdn(true);
    name
}
