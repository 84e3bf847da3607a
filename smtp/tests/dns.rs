//! Look-ups, and the sandbox's zone that answers them.

use crate::support::nameserver::{Answer, name, nameserver};
use hickory_proto::op::ResponseCode;
use hickory_proto::rr::rdata::{A, AAAA, MX};
use hickory_proto::rr::{RData, RecordType};
use smtp::{DnsConfig, DnsError, Exchanger, RecordData, RecordKind, Resolver, Zone};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::watch;

fn resolver(address: SocketAddr) -> Resolver {
    Resolver::new(DnsConfig { timeout: Duration::from_millis(500), ..DnsConfig::server(address) }).unwrap()
}

async fn zone() -> (SocketAddr, watch::Sender<bool>) {
    let zone = Zone::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let zone = zone.with_txt("s._domainkey.satchel.test", &"k".repeat(700));
    let address = zone.addr();
    let (stop, stopped) = watch::channel(false);
    tokio::spawn(zone.run(stopped));
    (address, stop)
}

fn exchanger(preference: u16, host: &str) -> Exchanger {
    Exchanger { preference, host: host.into() }
}

#[tokio::test]
async fn every_name_under_test_takes_mail_at_loopback() {
    let (address, _stop) = zone().await;
    let resolver = resolver(address);
    assert_eq!(resolver.mx("Shop.test").await.unwrap(), [exchanger(10, "mail.shop.test")]);
    let loopback: IpAddr = Ipv4Addr::LOCALHOST.into();
    assert_eq!(resolver.addresses("mail.shop.test").await.unwrap(), [loopback]);
    assert_eq!(resolver.mx("köln.test").await.unwrap(), [exchanger(10, "mail.xn--kln-sna.test")]);
    for nowhere in ["example.org", "_dmarc.a.shop.test"] {
        assert!(matches!(resolver.mx(nowhere).await, Err(DnsError::NoSuchName(_))), "{nowhere}");
    }
}

#[tokio::test]
async fn the_zone_answers_over_tcp_what_is_too_long_for_udp() {
    let (address, stop) = zone().await;
    // A question for the long TXT record without EDNS: truncated over UDP, whole over TCP.
    let mut question = hickory_proto::op::Message::query();
    let query = hickory_proto::op::Query::query(name("s._domainkey.satchel.test."), RecordType::TXT);
    question.add_query(query);
    let wire = question.to_vec().unwrap();
    let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.send_to(&wire, address).await.unwrap();
    let mut buffer = [0; 2048];
    let octets = socket.recv(&mut buffer).await.unwrap();
    assert!(hickory_proto::op::Message::from_vec(&buffer[..octets]).unwrap().metadata.truncation);

    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    stream.write_u16(wire.len() as u16).await.unwrap();
    stream.write_all(&wire).await.unwrap();
    let mut answer = vec![0; stream.read_u16().await.unwrap().into()];
    stream.read_exact(&mut answer).await.unwrap();
    let answer = hickory_proto::op::Message::from_vec(&answer).unwrap();
    assert_eq!(answer.answers.len(), 1);
    drop(stop);
}

#[tokio::test]
async fn noise_does_not_stop_the_zone() {
    let (address, _stop) = zone().await;
    let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    for noise in [&b""[..], b"\0", &[0xff; 400], &[0; 12]] {
        socket.send_to(noise, address).await.unwrap();
    }
    assert!(resolver(address).addresses("shop.test").await.is_ok());
}

#[tokio::test]
async fn exchangers_come_best_first_and_a_null_mx_takes_nothing() {
    let (address, _) = nameserver(|asked, kind| -> Answer {
        match (asked, kind) {
            ("two.example", RecordType::MX) => Ok(vec![
                RData::MX(MX::new(20, name("B.example."))),
                RData::MX(MX::new(10, name("a.example."))),
                RData::MX(MX::new(0, name("."))),
            ]),
            ("null.example", RecordType::MX) => Ok(vec![RData::MX(MX::new(0, name(".")))]),
            ("plain.example", RecordType::A) => Ok(vec![RData::A(A(Ipv4Addr::new(192, 0, 2, 1)))]),
            ("plain.example", RecordType::AAAA) => Ok(vec![RData::AAAA(AAAA(Ipv6Addr::LOCALHOST))]),
            ("plain.example", _) => Ok(Vec::new()),
            ("broken.example", _) => Err(ResponseCode::ServFail),
            _ => Err(ResponseCode::NXDomain),
        }
    })
    .await;
    let resolver = resolver(address);
    assert_eq!(resolver.mx("two.example").await.unwrap(), [exchanger(10, "a.example"), exchanger(20, "b.example")]);
    assert!(matches!(resolver.mx("null.example").await, Err(DnsError::NullMx(_))));
    assert_eq!(resolver.mx("plain.example").await.unwrap(), [exchanger(0, "plain.example")]);
    let addresses = resolver.addresses("plain.example").await.unwrap();
    assert_eq!(addresses, ["192.0.2.1".parse::<IpAddr>().unwrap(), "::1".parse().unwrap()]);
    assert!(matches!(resolver.mx("broken.example").await, Err(error) if !error.is_permanent()));
    assert!(matches!(resolver.mx("nowhere.example").await, Err(error) if error.is_permanent()));
}

#[tokio::test]
async fn address_literals_are_their_own_hosts() {
    let (address, asked) = nameserver(|_, _| Err(ResponseCode::NXDomain)).await;
    let resolver = resolver(address);
    assert_eq!(resolver.mx("[192.0.2.1]").await.unwrap(), [exchanger(0, "[192.0.2.1]")]);
    assert_eq!(resolver.addresses("[IPv6:2001:db8::1]").await.unwrap(), ["2001:db8::1".parse::<IpAddr>().unwrap()]);
    assert_eq!(asked.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn a_resolver_that_is_not_there_is_given_up_in_time() {
    let dead = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let resolver = resolver(dead.local_addr().unwrap());
    let begun = Instant::now();
    assert!(matches!(resolver.addresses("shop.test").await, Err(DnsError::Unavailable { .. })));
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn published_records_are_found_by_kind_and_replace_the_rule() {
    let txt = |text: &str| RecordData::Txt(text.to_owned());
    let srv = RecordData::Srv { priority: 0, weight: 1, port: 993, host: "mx.satchel.test".into() };
    let long = format!("v=DKIM1; p={}", "x".repeat(400));
    let zone = Zone::bind("127.0.0.1:0".parse().unwrap())
        .await
        .unwrap()
        .with_record("satchel.test", RecordData::Mx { preference: 10, host: "mx.satchel.test".into() })
        .with_record("satchel.test", txt("v=spf1 mx -all"))
        .with_record("_imaps._tcp.satchel.test", srv.clone())
        .with_record("7.2.0.192.in-addr.arpa", RecordData::Ptr("mx.satchel.test".into()))
        .with_record("s._domainkey.satchel.test", txt(&long));
    let resolver = resolver(zone.addr());
    let (stop, stopped) = watch::channel(false);
    tokio::spawn(zone.run(stopped));
    assert_eq!(resolver.mx("satchel.test").await.unwrap(), [exchanger(10, "mx.satchel.test")]);
    assert_eq!(resolver.records("Satchel.test", RecordKind::Txt).await.unwrap(), [txt("v=spf1 mx -all")]);
    assert_eq!(
        resolver.records("_imaps._tcp.satchel.test", RecordKind::Srv).await.unwrap(),
        std::slice::from_ref(&srv)
    );
    assert_eq!(resolver.records("s._domainkey.satchel.test", RecordKind::Txt).await.unwrap(), [txt(&long)]);
    assert_eq!(resolver.records("_imaps._tcp.satchel.test", RecordKind::Txt).await.unwrap(), []);
    assert_eq!(resolver.records("_none._tcp.satchel.test", RecordKind::Srv).await.unwrap(), []);
    assert_eq!(resolver.names(Ipv4Addr::new(192, 0, 2, 7).into()).await.unwrap(), ["mx.satchel.test"]);
    assert_eq!(resolver.names(Ipv4Addr::new(192, 0, 2, 8).into()).await.unwrap(), [""; 0]);
    assert_eq!(srv.to_string(), "0 1 993 mx.satchel.test.");
    // Another domain keeps the rule's.
    assert_eq!(resolver.mx("shop.test").await.unwrap(), [exchanger(10, "mail.shop.test")]);
    drop(stop);
}
