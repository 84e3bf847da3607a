//! TLS reports of ours, by mail and over HTTPS. RFC 8460.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};

use rustls::{ServerConfig, ServerConnection, StreamOwned};
use smtp::RecordData;

use crate::records::zone;
use crate::support::eventually;
use crate::support::satchel::Satchel;
use crate::support::sink::Sink;
use crate::support::smtp::{Smtp, plain};
use crate::support::stranger::ALICE;

/// A web server for reports: what was posted to it, head and body.
struct Web {
    port: u16,
    /// PEM of what its certificate is signed by.
    authority: String,
    is_open: Arc<AtomicBool>,
    posts: mpsc::Receiver<(String, Vec<u8>)>,
}

fn web(name: &str) -> Web {
    let key = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![key.cert.der().clone()], key.signing_key.serialize_der().try_into().unwrap())
        .unwrap();
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let (send, posts) = mpsc::channel();
    let is_open = Arc::new(AtomicBool::new(false));
    let (config, open) = (Arc::new(config), Arc::clone(&is_open));
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut stream = BufReader::new(StreamOwned::new(connection, stream));
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") {
                if stream.read_line(&mut head).unwrap_or(0) == 0 {
                    break;
                }
            }
            let lower = head.to_lowercase();
            let length = lower.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
            let mut body = vec![0; length.unwrap_or(0)];
            if stream.read_exact(&mut body).is_err() {
                continue;
            }
            let status = if open.load(Ordering::SeqCst) { "201 Created" } else { "503 Later" };
            let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            let _ = stream.get_mut().write_all(answer.as_bytes());
            let _ = send.send((head, body));
        }
    });
    Web { port, authority: key.cert.pem(), is_open, posts }
}

#[test]
fn what_sessions_came_to_is_told_by_mail_and_over_https() {
    let web = web("reports.far.example");
    let rua = format!("v=TLSRPTv1; rua=mailto:tls@near.test,https://reports.far.example:{}/tls?a=1", web.port);
    let resolver = zone(vec![
        ("_smtp._tls.far.example", RecordData::Txt(rua)),
        ("reports.far.example", RecordData::Address([127, 0, 0, 1].into())),
        // It announces a policy that nobody can have.
        ("_mta-sts.far.example", RecordData::Txt("v=STSv1; id=1".to_owned())),
        ("mta-sts.far.example", RecordData::Address([127, 99, 99, 99].into())),
        ("far.example", RecordData::Mx { preference: 0, host: "mx.far.example".to_owned() }),
        ("mx.far.example", RecordData::Address([127, 99, 99, 99].into())),
    ]);
    let sink = Sink::start();
    let mut satchel = Satchel::prepared(&format!("[dns]\nresolver = \"{resolver}\"\n{}", sink.route("near.test")));
    let authority = satchel.path().join("authority.pem");
    std::fs::write(&authority, &web.authority).unwrap();
    satchel.environment = Some(("SSL_CERT_FILE", authority.to_str().unwrap().to_owned()));
    satchel.resume();
    let (user, password) = satchel.first_login();
    let mail = plain(ALICE, "greta@far.example", "A letter abroad", "Hello.");
    let reply = Smtp::login(satchel.ports.submission, &user, &password).mail(ALICE, "greta@far.example", &mail);
    assert!(reply.starts_with("250"), "{reply}");
    eventually("the mail was tried", || {
        let queue = satchel.ask(&["queue", "list"]);
        queue.as_array().unwrap().iter().any(|item| item["last_error"].is_string()).then_some(())
    });

    assert_eq!(satchel.ask(&["reports", "--send"])["sent"], 1, "one mail; the web server takes nothing yet");
    let text = sink.wait_for("tls@near.test").text();
    for part in
        ["TLS-Report-Domain: far.example\r\n", "report-type=\"tlsrpt\"", "application/tlsrpt+gzip", "DKIM-Signature:"]
    {
        assert!(text.contains(part), "{part:?} is missing from {text}");
    }
    let patience = crate::support::PATIENCE;
    let (_, refused) = web.posts.recv_timeout(patience).unwrap();

    // It is not forgotten, and goes out again; here at the operator's word, an hour later by itself.
    web.is_open.store(true, Ordering::SeqCst);
    satchel.kill();
    satchel.resume();
    assert_eq!(satchel.ask(&["reports", "--send"])["sent"], 1);
    let (head, body) = web.posts.recv_timeout(patience).unwrap();
    assert_eq!(body, refused, "the same report");
    assert!(head.starts_with("POST /tls?a=1 HTTP/1.1\r\n"), "{head}");
    let lower = head.to_lowercase();
    assert!(lower.contains("content-type: application/tlsrpt+json\r\n"), "{head}");
    assert!(lower.contains(&format!("host: reports.far.example:{}\r\n", web.port)), "{head}");
    let report: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(report["policies"][0]["policy"]["policy-domain"], "far.example", "{report}");
    assert_eq!(report["policies"][0]["policy"]["policy-type"], "sts", "{report}");
    assert_eq!(report["policies"][0]["failure-details"][0]["result-type"], "sts-policy-fetch-error", "{report}");
    assert_eq!(satchel.ask(&["reports", "--send"])["sent"], 0, "both were told");
}
