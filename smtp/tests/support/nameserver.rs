//! A DNS server that says what it is told.

use hickory_proto::op::{Message, MessageType, ResponseCode};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::net::UdpSocket;

/// An answer: a code, or records.
pub type Answer = Result<Vec<RData>, ResponseCode>;

/// Answers every question by `answer(name, type)`; counts them.
pub async fn nameserver(
    answer: impl Fn(&str, RecordType) -> Answer + Send + 'static,
) -> (SocketAddr, Arc<AtomicUsize>) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = asked.clone();
    tokio::spawn(async move {
        let mut buffer = [0; 2048];
        loop {
            let Ok((octets, peer)) = socket.recv_from(&mut buffer).await else { continue };
            counted.fetch_add(1, Ordering::Relaxed);
            let question = Message::from_vec(&buffer[..octets]).unwrap();
            let query = question.queries[0].clone();
            let mut reply = Message::new(question.metadata.id, MessageType::Response, question.metadata.op_code);
            let name = query.name().to_ascii().trim_end_matches('.').to_ascii_lowercase();
            match answer(&name, query.query_type()) {
                Ok(records) => {
                    for data in records {
                        reply.add_answer(Record::from_rdata(query.name().clone(), 60, data));
                    }
                }
                Err(code) => reply.metadata.response_code = code,
            }
            reply.add_query(query);
            let _ = socket.send_to(&reply.to_vec().unwrap(), peer).await;
        }
    });
    (address, asked)
}

pub fn name(text: &str) -> Name {
    Name::from_ascii(text).unwrap()
}
