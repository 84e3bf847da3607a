//! A certification authority that speaks as much of ACME (RFC 8555) as an order needs: it checks every signature and nonce,
//! and asks the web door for the token it gave.

use std::collections::{HashMap, HashSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};

/// How long a certificate is good for, in seconds before and after now.
pub(crate) type Validity = (u64, u64);

/// The running authority.
pub(crate) struct Ca {
    /// Its own certificate.
    pub(crate) root: CertificateDer<'static>,
    pub(crate) root_pem: String,
    state: Arc<State>,
}

struct State {
    port: u16,
    issuer: rcgen::Issuer<'static, rcgen::KeyPair>,
    root_pem: String,
    /// Where the server asked to prove its names has its `run/ready.json`.
    satchel: Mutex<Option<PathBuf>>,
    book: Mutex<Book>,
}

#[derive(Default)]
struct Book {
    nonces: HashSet<String>,
    next: u64,
    /// Public keys, as points and as JWK thumbprints, by account address.
    accounts: HashMap<String, (Vec<u8>, String)>,
    authorizations: HashMap<String, Authorization>,
    orders: Vec<Order>,
    /// How long each certificate to come is good for.
    validities: Vec<Validity>,
    /// What a real authority would have refused.
    faults: Vec<String>,
}

#[derive(Clone)]
struct Authorization {
    name: String,
    token: String,
    status: &'static str,
}

struct Order {
    names: Vec<String>,
    authorizations: Vec<String>,
    certificate: Option<String>,
}

impl Ca {
    /// Listens; its certificates will be good for so long, one after the other.
    pub(crate) fn start(validities: &[Validity]) -> Self {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut parameters = rcgen::CertificateParams::new(Vec::new()).unwrap();
        parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        parameters.distinguished_name.push(rcgen::DnType::CommonName, "Test CA");
        let root = parameters.self_signed(&key).unwrap();
        let issuer = rcgen::Issuer::new(parameters, key);

        let own_key = rcgen::KeyPair::generate().unwrap();
        let own =
            rcgen::CertificateParams::new(["127.0.0.1".to_owned()]).unwrap().signed_by(&own_key, &issuer).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![own.der().clone()], PrivateKeyDer::Pkcs8(own_key.serialize_der().into()))
            .unwrap();

        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let book = Book { validities: validities.iter().rev().copied().collect(), ..Book::default() };
        let state = State { port, issuer, root_pem: root.pem(), satchel: Mutex::default(), book: Mutex::new(book) };
        let state = Arc::new(state);
        let (tls, serving) = (Arc::new(tls), Arc::clone(&state));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (tls, state) = (Arc::clone(&tls), Arc::clone(&serving));
                std::thread::spawn(move || serve(stream.ok()?, tls, &state));
            }
        });
        Self { root: root.der().clone(), root_pem: root.pem(), state }
    }

    /// A certificate without an order: chain and key, as PEM.
    pub(crate) fn issue(&self, names: &[&str]) -> (String, String) {
        let key = rcgen::KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let parameters = rcgen::CertificateParams::new(names).unwrap();
        let made = parameters.signed_by(&key, &self.state.issuer).unwrap();
        (format!("{}{}", made.pem(), self.root_pem), key.serialize_pem())
    }

    /// The address of its directory.
    pub(crate) fn directory(&self) -> String {
        self.state.url("directory")
    }

    /// Which server it is to find behind every name.
    pub(crate) fn will_find(&self, satchel: &Path) {
        *self.state.satchel.lock().unwrap() = Some(satchel.to_owned());
    }

    /// Accounts and orders so far.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let book = self.state.book.lock().unwrap();
        (book.accounts.len(), book.orders.len())
    }

    /// What a real authority would have refused.
    pub(crate) fn faults(&self) -> Vec<String> {
        self.state.book.lock().unwrap().faults.clone()
    }
}

struct Request {
    method: String,
    path: String,
    body: Vec<u8>,
}

struct Answer {
    status: u16,
    location: Option<String>,
    body: String,
}

impl Answer {
    fn json(status: u16, body: &Value) -> Self {
        Self { status, location: None, body: body.to_string() }
    }
}

/// One request, one answer.
fn serve(stream: TcpStream, tls: Arc<ServerConfig>, state: &State) -> Option<()> {
    stream.set_read_timeout(Some(Duration::from_secs(20))).ok()?;
    let mut stream = BufReader::new(StreamOwned::new(ServerConnection::new(tls).ok()?, stream));
    let mut line = String::new();
    stream.read_line(&mut line).ok()?;
    let mut words = line.split_whitespace();
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut length = 0;
    loop {
        let mut field = String::new();
        stream.read_line(&mut field).ok()?;
        let Some((name, value)) = field.trim_end().split_once(':') else { break };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    let request = Request { method, path, body };
    let answer = match state.answer(&request) {
        Ok(answer) => answer,
        Err(why) => {
            state.book.lock().unwrap().faults.push(format!("{} {}: {why}", request.method, request.path));
            Answer::json(400, &json!({ "type": "urn:ietf:params:acme:error:malformed", "detail": why }))
        }
    };
    let nonce = state.nonce();
    let body = if request.method == "HEAD" { "" } else { &answer.body };
    let location = answer.location.map(|url| format!("Location: {url}\r\n")).unwrap_or_default();
    let head = format!(
        "HTTP/1.1 {} x\r\nReplay-Nonce: {nonce}\r\n{location}Content-Type: application/json\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n",
        answer.status,
        body.len()
    );
    stream.get_mut().write_all(format!("{head}{body}").as_bytes()).ok()?;
    stream.get_mut().conn.send_close_notify();
    stream.get_mut().flush().ok()
}

impl State {
    fn url(&self, path: &str) -> String {
        format!("https://127.0.0.1:{}/{path}", self.port)
    }

    fn nonce(&self) -> String {
        let mut book = self.book.lock().unwrap();
        book.next += 1;
        let nonce = URL_SAFE_NO_PAD.encode(format!("nonce-{}", book.next));
        book.nonces.insert(nonce.clone());
        nonce
    }

    fn answer(&self, request: &Request) -> Result<Answer, String> {
        let parts: Vec<&str> = request.path.trim_start_matches('/').split('/').collect();
        match (request.method.as_str(), parts.as_slice()) {
            // RFC 8555 §7.1.1.
            ("GET", ["directory"]) => Ok(Answer::json(
                200,
                &json!({ "newNonce": self.url("nonce"), "newAccount": self.url("account"), "newOrder": self.url("order") }),
            )),
            ("HEAD", ["nonce"]) => Ok(Answer::json(200, &json!({}))),
            ("POST", ["account"]) => self.new_account(request),
            ("POST", ["order"]) => self.new_order(request),
            ("POST", ["order", id]) => {
                self.signed(request)?;
                self.order(id)
            }
            ("POST", ["authorization", id]) => {
                self.signed(request)?;
                let book = self.book.lock().unwrap();
                let one = book.authorizations.get(*id).ok_or("no such authorization")?;
                let challenge =
                    json!({ "type": "http-01", "url": self.url(&format!("challenge/{id}")), "token": one.token });
                let other = json!({ "type": "dns-01", "url": self.url("never"), "token": one.token });
                let name = json!({ "type": "dns", "value": one.name });
                Ok(Answer::json(
                    200,
                    &json!({ "status": one.status, "identifier": name, "challenges": [other, challenge] }),
                ))
            }
            ("POST", ["challenge", id]) => self.challenge(request, id),
            ("POST", ["finalize", id]) => self.finalize(request, id),
            ("POST", ["certificate", id]) => {
                self.signed(request)?;
                let book = self.book.lock().unwrap();
                let order = id.parse().ok().and_then(|id: usize| book.orders.get(id)).ok_or("no such order")?;
                Ok(Answer { status: 200, location: None, body: order.certificate.clone().ok_or("not issued")? })
            }
            _ => Err("no such resource".to_owned()),
        }
    }

    /// RFC 8555 §6.2: every POST is signed, for this address, with a nonce that was never used. The payload, and who signed.
    fn signed(&self, request: &Request) -> Result<(Value, String), String> {
        let jws: Value = serde_json::from_slice(&request.body).map_err(|error| error.to_string())?;
        let field = |key: &str| jws[key].as_str().ok_or_else(|| format!("no {key}"));
        let decode = |text: &str| URL_SAFE_NO_PAD.decode(text).map_err(|error| error.to_string());
        let (protected, payload) = (field("protected")?, field("payload")?);
        let head: Value = serde_json::from_slice(&decode(protected)?).map_err(|error| error.to_string())?;
        let url = self.url(request.path.trim_start_matches('/'));
        if head["alg"] != "ES256" || head["url"] != url.as_str() {
            return Err(format!("alg or url is wrong: {head}"));
        }
        let mut book = self.book.lock().unwrap();
        if !book.nonces.remove(head["nonce"].as_str().unwrap_or_default()) {
            return Err("the nonce is not one of ours, or was used".to_owned());
        }
        let (point, account) = match (&head["jwk"], head["kid"].as_str()) {
            (Value::Null, Some(kid)) => (book.accounts.get(kid).ok_or("no such account")?.0.clone(), kid.to_owned()),
            (jwk, None) => {
                let coordinate = |key: &str| decode(jwk[key].as_str().unwrap_or_default());
                (std::iter::once(4).chain(coordinate("x")?).chain(coordinate("y")?).collect(), String::new())
            }
            _ => return Err("jwk and kid exclude each other".to_owned()),
        };
        let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &point);
        let message = format!("{protected}.{payload}");
        key.verify(message.as_bytes(), &decode(field("signature")?)?)
            .map_err(|_| "the signature is wrong".to_owned())?;
        if account.is_empty() {
            // RFC 7638 §3.2: the thumbprint is over these members, in this order.
            let jwk = &head["jwk"];
            let members = format!(r#"{{"crv":"P-256","kty":"EC","x":{},"y":{}}}"#, jwk["x"], jwk["y"]);
            let digest = ring::digest::digest(&ring::digest::SHA256, members.as_bytes());
            let thumbprint = URL_SAFE_NO_PAD.encode(digest);
            let account = self.url(&format!("account/{}", URL_SAFE_NO_PAD.encode(&point[..12])));
            book.accounts.insert(account.clone(), (point, thumbprint));
            return Ok((payload_of(&decode(payload)?)?, account));
        }
        Ok((payload_of(&decode(payload)?)?, account))
    }

    fn new_account(&self, request: &Request) -> Result<Answer, String> {
        let (payload, account) = self.signed(request)?;
        if payload["termsOfServiceAgreed"] != true {
            return Err("the terms were not agreed to".to_owned());
        }
        Ok(Answer { location: Some(account), ..Answer::json(201, &json!({ "status": "valid" })) })
    }

    fn new_order(&self, request: &Request) -> Result<Answer, String> {
        let (payload, _) = self.signed(request)?;
        let identifiers = payload["identifiers"].as_array().cloned().unwrap_or_default();
        let names: Vec<String> = identifiers.iter().filter_map(|one| Some(one["value"].as_str()?.to_owned())).collect();
        let mut book = self.book.lock().unwrap();
        let mut authorizations = Vec::new();
        for name in &names {
            book.next += 1;
            let id = format!("a{}", book.next);
            let token = URL_SAFE_NO_PAD.encode(format!("a token of {name}, number {}", book.next));
            book.authorizations.insert(id.clone(), Authorization { name: name.clone(), token, status: "pending" });
            authorizations.push(id);
        }
        let id = book.orders.len().to_string();
        book.orders.push(Order { names, authorizations, certificate: None });
        drop(book);
        Ok(Answer { status: 201, location: Some(self.url(&format!("order/{id}"))), ..self.order(&id)? })
    }

    fn order(&self, id: &str) -> Result<Answer, String> {
        let book = self.book.lock().unwrap();
        let order = id.parse().ok().and_then(|id: usize| book.orders.get(id)).ok_or("no such order")?;
        let statuses: Vec<&str> =
            order.authorizations.iter().filter_map(|id| book.authorizations.get(id)).map(|one| one.status).collect();
        let status = match &order.certificate {
            Some(_) => "valid",
            None if statuses.contains(&"invalid") => "invalid",
            None if statuses.iter().all(|status| *status == "valid") => "ready",
            None => "pending",
        };
        let authorizations = order.authorizations.iter().map(|id| self.url(&format!("authorization/{id}")));
        let mut body = json!({
            "status": status,
            "authorizations": authorizations.collect::<Vec<_>>(),
            "finalize": self.url(&format!("finalize/{id}")),
        });
        if order.certificate.is_some() {
            body["certificate"] = json!(self.url(&format!("certificate/{id}")));
        }
        Ok(Answer::json(200, &body))
    }

    /// RFC 8555 §8.3: what lies at the well-known place of the name must be the token and the account key's thumbprint.
    fn challenge(&self, request: &Request, id: &str) -> Result<Answer, String> {
        let (_, account) = self.signed(request)?;
        let (one, thumbprint) = {
            let book = self.book.lock().unwrap();
            let one = book.authorizations.get(id).ok_or("no such challenge")?.clone();
            (one, book.accounts.get(&account).ok_or("no such account")?.1.clone())
        };
        let found = self.fetch(&one).unwrap_or_else(|error| format!("({error})"));
        let is_right = found == format!("{}.{thumbprint}", one.token);
        let mut book = self.book.lock().unwrap();
        if !is_right {
            book.faults.push(format!("{} answers its challenge with {found:?}", one.name));
        }
        let entry = book.authorizations.get_mut(id).ok_or("no such challenge")?;
        entry.status = if is_right { "valid" } else { "invalid" };
        Ok(Answer::json(
            200,
            &json!({ "type": "http-01", "url": request.path, "token": one.token, "status": entry.status }),
        ))
    }

    fn fetch(&self, one: &Authorization) -> std::io::Result<String> {
        let satchel = self.satchel.lock().unwrap().clone();
        let ready = std::fs::read(satchel.unwrap_or_default().join("run/ready.json"))?;
        let port = serde_json::from_slice::<Value>(&ready)?["web"].as_u64().unwrap_or_default();
        let mut stream = TcpStream::connect(("127.0.0.1", u16::try_from(port).unwrap()))?;
        let path = format!("/.well-known/acme-challenge/{}", one.token);
        stream
            .write_all(format!("GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", one.name).as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
        Ok(if head.starts_with("HTTP/1.1 200") { body.to_owned() } else { head.to_owned() })
    }

    fn finalize(&self, request: &Request, id: &str) -> Result<Answer, String> {
        let (payload, _) = self.signed(request)?;
        let csr = URL_SAFE_NO_PAD.decode(payload["csr"].as_str().unwrap_or_default()).map_err(|e| e.to_string())?;
        let point = csr_key(&csr).ok_or("the request is not signed with the key it is for")?;
        let mut book = self.book.lock().unwrap();
        let validity = book.validities.pop().ok_or("no more certificates")?;
        let order = id.parse().ok().and_then(|id: usize| book.orders.get_mut(id)).ok_or("no such order")?;
        if let Some(missing) = order.names.iter().find(|name| !csr.windows(name.len()).any(|at| at == name.as_bytes()))
        {
            return Err(format!("{missing} is not in the request"));
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let mut parameters = rcgen::CertificateParams::new(order.names.clone()).unwrap();
        parameters.not_before = rcgen::date_time_ymd(1970, 1, 1) + (now - Duration::from_secs(validity.0));
        parameters.not_after = rcgen::date_time_ymd(1970, 1, 1) + (now + Duration::from_secs(validity.1));
        let issued = parameters.signed_by(&Point(point), &self.issuer).map_err(|error| error.to_string())?;
        order.certificate = Some(format!("{}{}", issued.pem(), self.root_pem));
        drop(book);
        self.order(id)
    }
}

/// Empty for POST-as-GET (RFC 8555 §6.3).
fn payload_of(octets: &[u8]) -> Result<Value, String> {
    if octets.is_empty() { Ok(Value::Null) } else { serde_json::from_slice(octets).map_err(|error| error.to_string()) }
}

/// The public key of a request (RFC 2986 §4), once its signature was checked with it.
fn csr_key(csr: &[u8]) -> Option<Vec<u8>> {
    /// SubjectPublicKeyInfo of P-256, up to the point.
    const P256: &str = "3059301306072a8648ce3d020106082a8648ce3d030107034200";
    let prefix = hex::decode(P256).ok()?;
    let at = csr.windows(prefix.len()).position(|window| window == prefix)? + prefix.len();
    let point = csr.get(at..at + 65)?.to_vec();
    let (_, all) = der(csr)?;
    let (info, rest) = split(all)?;
    let (_, rest) = split(rest)?;
    let (_, bits) = der(rest)?;
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &point).verify(info, bits.get(1..)?).ok()?;
    Some(point)
}

/// Length of head and content of the first DER value.
fn der(octets: &[u8]) -> Option<(usize, &[u8])> {
    let (head, length) = match *octets.get(1)? {
        short @ 0..=0x7f => (2, usize::from(short)),
        0x81 => (3, usize::from(*octets.get(2)?)),
        _ => (4, usize::from(*octets.get(2)?) << 8 | usize::from(*octets.get(3)?)),
    };
    Some((head, octets.get(head..head + length)?))
}

/// The first DER value whole, and what follows.
fn split(octets: &[u8]) -> Option<(&[u8], &[u8])> {
    let (head, content) = der(octets)?;
    octets.split_at_checked(head + content.len())
}

struct Point(Vec<u8>);

impl rcgen::PublicKeyData for Point {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        &rcgen::PKCS_ECDSA_P256_SHA256
    }
}
