//! The chain's RPC as a client sees it that is not LDK.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use base64::Engine;
use common::{runtime, sandbox};
use serde_json::{Value, json};

fn ask(stream: &mut TcpStream, credentials: &str, body: &str) -> (String, Value) {
    let auth = base64::engine::general_purpose::STANDARD.encode(credentials);
    write!(
        stream,
        "POST / HTTP/1.1\r\nHost: x\r\nAuthorization: Basic {auth}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut bytes = Vec::new();
    loop {
        let mut chunk = [0; 4096];
        let read = stream.read(&mut chunk).unwrap();
        bytes.extend_from_slice(&chunk[..read]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length: usize = head.split("Content-Length: ").nth(1).unwrap().lines().next().unwrap().parse().unwrap();
            if body.len() == length {
                let status = head.lines().next().unwrap().to_owned();
                return (status, serde_json::from_str(body).unwrap_or(Value::Null));
            }
        }
        assert!(read > 0, "the server closed early");
    }
}

#[test]
fn the_rpc_answers_bitcoind_s_way_and_only_with_its_credential() {
    let dir = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let sandbox = sandbox(dir.path()).await;
        let source = sandbox.chain_source();
        let address: SocketAddr = format!("{}:{}", source.host, source.port).parse().unwrap();
        let good = format!("{}:{}", source.user, &*source.password);
        let height = sandbox.chain().height();
        let genesis = "0f9188f13cb7b2c71f2a335e3a4fc328bf5beb436012afca590b1a11466e2206";
        let asked = tokio::task::spawn_blocking(move || {
            let connect = || {
                let stream = TcpStream::connect(address).unwrap();
                stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
                stream
            };
            let (status, _) =
                ask(&mut connect(), "satchel:wrong", r#"{"method":"getblockchaininfo","params":[],"id":1}"#);
            assert!(status.contains("401"), "{status}");
            let mut stream = connect();
            let mut call = |method: &str, params: Value| {
                let body = json!({"method": method, "params": params, "id": "7"}).to_string();
                let (status, answer) = ask(&mut stream, &good, &body);
                assert_eq!(answer["id"], json!("7"));
                assert_eq!(status.contains("200"), answer["error"].is_null(), "{status}");
                answer
            };
            assert_eq!(call("getblockchaininfo", json!([]))["result"]["blocks"], json!(height));
            assert_eq!(call("getblockhash", json!([0]))["result"], json!(genesis));
            let header = call("getblockheader", json!([genesis]));
            assert_eq!(header["result"]["height"], json!(0));
            assert!(header["result"].get("previousblockhash").is_none());
            assert!(header["result"]["chainwork"].as_str().unwrap().ends_with("02"));
            assert_eq!(call("getblock", json!([genesis, 0]))["result"].as_str().unwrap().len(), 570);
            assert_eq!(call("getrawmempool", json!([false]))["result"], json!([]));
            let absent = json!(["00".repeat(32)]);
            assert_eq!(call("getmempoolentry", absent.clone())["error"]["code"], json!(-5));
            assert_eq!(call("getrawtransaction", absent)["error"]["code"], json!(-5));
            assert_eq!(call("sendrawtransaction", json!(["00ff"]))["error"]["code"], json!(-22));
            assert_eq!(call("estimatesmartfee", json!([6, "ECONOMICAL"]))["result"]["feerate"], json!(0.00001));
            assert_eq!(call("getmempoolinfo", json!([]))["result"]["mempoolminfee"], json!(0.00001));
            assert_eq!(call("gettxout", json!(["00".repeat(32), 0, false]))["result"], Value::Null);
            assert_eq!(call("stop", json!([]))["error"]["code"], json!(-32601));
            let mut huge = connect();
            write!(huge, "POST / HTTP/1.1\r\nContent-Length: 999999999\r\n\r\n").unwrap();
            let mut answer = String::new();
            let _ = huge.read_to_string(&mut answer);
            assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
        });
        asked.await.unwrap();
        sandbox.stop().await.unwrap();
    });
}
