//! The known answers in `vectors/`, recomputed: what another implementation can be tested against.
//!
//! `SATCHEL_WRITE_VECTORS=1 cargo test -p lnmp --test vectors` writes them anew, after a change of the protocol.

#![expect(clippy::unwrap_used, reason = "every function here is part of a test")]

use std::path::PathBuf;

use base64::Engine;
use lnmp::limits::ARGON2_KIB;
use lnmp::{
    Address, Algorithm, AppPassword, Attachment, AttachmentPlace, AttachmentRef, BridgeKey, Checksum, Content,
    Encoding, Identity, LineEnding, MailboxKey, Opener, PasswordParams, Plaintexts, PublicKey, RecoveryPhrase, Scheme,
    Sealer, Tag, jcs, open_secret, wire_json,
};
use rand::{CryptoRng, RngCore};
use ring::{digest, hkdf, hmac};
use secp256k1::{Parity, SecretKey, XOnlyPublicKey, ecdh};
use serde_json::{Value, json};

const NOW: u64 = 1_790_000_000_000;

/// Holds `computed` against the file, or writes the file when asked to.
fn check(name: &str, computed: &Value) {
    let path = path(name);
    if std::env::var_os("SATCHEL_WRITE_VECTORS").is_some() {
        let text = serde_json::to_string_pretty(computed).expect("JSON values print");
        std::fs::write(&path, text + "\n").expect("the vectors' folder is writable");
    }
    assert_eq!(&read(name), computed, "{} is out of date", path.display());
}

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("vectors").join(name)
}

fn read(name: &str) -> Value {
    let text = std::fs::read_to_string(path(name)).expect("the vectors are checked in");
    serde_json::from_str(&text).expect("the vectors are JSON")
}

/// A generator whose every octet is known: what a vector's `draws` say, in order.
struct Draws {
    left: Vec<u8>,
}

impl RngCore for Draws {
    fn next_u32(&mut self) -> u32 {
        unreachable!("sealing draws octets")
    }
    fn next_u64(&mut self) -> u64 {
        unreachable!("sealing draws octets")
    }
    fn fill_bytes(&mut self, out: &mut [u8]) {
        let rest = self.left.split_off(out.len());
        out.copy_from_slice(&std::mem::replace(&mut self.left, rest));
    }
    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), rand::Error> {
        self.fill_bytes(out);
        Ok(())
    }
}

impl CryptoRng for Draws {}

#[test]
fn identities() {
    let phrases = [
        "abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon about",
        "legal winner thank year wave sausage worth useful legal winner thank yellow",
        "zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo vote",
    ];
    let cases: Vec<Value> = phrases
        .iter()
        .map(|phrase| {
            let identity = Identity::from_phrase(phrase).unwrap();
            let signatures: Vec<Value> = Tag::ALL
                .into_iter()
                .map(|tag| {
                    let signature = identity.sign_tagged(tag, b"satchel");
                    identity.public_key().verify_tagged(tag, b"satchel", &signature).unwrap();
                    json!({ "tag": tag.name(), "octets": hex::encode("satchel"), "hash": hex::encode(tag.hash(b"satchel")),
                            "signature": hex::encode(signature) })
                })
                .collect();
            json!({
                "phrase": phrase,
                "entropy": hex::encode(identity.seed_entropy().unwrap()),
                "path": "m/138'/0'/0'",
                "secretKey": hex::encode(identity.secret_bytes().reveal()),
                "publicKey": identity.public_key(),
                "signatures": signatures,
            })
        })
        .collect();
    check("identity.json", &json!({ "identities": cases }));
}

#[test]
fn addresses() {
    let checksums: Vec<Value> =
        [(1, "alice"), (1, "bob"), (2, "alice"), (3, "a.b_c-d"), (3, "0123456789abcdefghijklmnopqrstuv")]
            .into_iter()
            .map(|(secret, username)| {
                let key = Identity::from_secret_bytes(&[secret; 32]).unwrap().public_key();
                let address = Address::parse(&format!("{username}@example.org")).unwrap().canonical(&key);
                json!({ "publicKey": key, "username": username, "checksum": Checksum::of(username, &key).as_str(),
                    "address": address.to_string() })
            })
            .collect();
    let parsed: Vec<Value> = ["alice@example.org", "Alice#A3F2B9@Example.ORG", "alice+a3f2b9@example.org", "a@b"]
        .into_iter()
        .map(|text| {
            let address = Address::parse(text).unwrap();
            json!({ "text": text, "local": address.local(), "detail": address.detail(),
                    "checksum": address.checksum().map(Checksum::as_str), "domain": address.domain() })
        })
        .collect();
    let refused =
        ["alice", "a@b@c", "@b", "al ice@b", "alice#a3f2b@b", "alice#a3f20é@b", "alice@", "alice@-b", "alice@b..c"];
    assert!(refused.iter().all(|text| Address::parse(text).is_err()));
    check("address.json", &json!({ "checksums": checksums, "parsed": parsed, "refused": refused }));
}

#[test]
fn canonical_json_and_message_ids() {
    let canonical: Vec<Value> = [
        r#"{"b":[true,false,{}],"a":{"z":1,"y":-9007199254740991},"":""}"#,
        r#"{"€":1,"\r":2,"דּ":3,"1":4,"😀":5,"":6,"ö":7}"#,
        "[\"\\u0000\\u001f\\b\\t\\n\\f\\r\\\"\\\\/\u{7f}\u{2028}\"]",
    ]
    .into_iter()
    .map(|text| {
        let value: Value = serde_json::from_str(text).unwrap();
        let bytes = jcs::canonical(&value).unwrap();
        json!({ "value": value, "canonical": String::from_utf8(bytes.clone()).unwrap(), "sha256": hex::encode(sha256(&bytes)) })
    })
    .collect();
    let refused = ["null", "[1.5]", "[1e3]", "[9007199254740992]", "{\"a\":null}"];
    for text in refused {
        assert!(jcs::canonical(&serde_json::from_str(text).unwrap()).is_err(), "{text}");
    }
    // A message by hand: its id and signature from the JSON alone.
    let author = Identity::from_secret_bytes(&[1; 32]).unwrap();
    let recipient = Identity::from_secret_bytes(&[2; 32]).unwrap();
    let signed = json!({
        "v": "1.0.0", "from": author.public_key(), "to": [recipient.public_key()], "timestamp": NOW,
        "contentId": "000102030405060708090a0b0c0d0e0f", "relays": ["wss://relay.example.org"], "expiry": NOW + 86_400_000,
        "encrypted": {
            "scheme": "ecies1", "algorithm": "ChaCha20-Poly1305", "nonce": "000000000000000000000000",
            "ephemeralPubKey": Identity::from_secret_bytes(&[3; 32]).unwrap().public_key(), "sha256": "00".repeat(32),
        },
    });
    let bytes = jcs::canonical(&signed).unwrap();
    let id = Tag::Message.hash(&bytes);
    let message = json!({
        "signed": signed, "canonical": String::from_utf8(bytes.clone()).unwrap(), "id": hex::encode(id),
        "signature": hex::encode(author.sign_tagged(Tag::Message, &bytes)),
    });
    check("message.json", &json!({ "canonical": canonical, "refused": refused, "message": message }));
}

#[test]
fn contents() {
    let reference =
        |n: u8| AttachmentRef { cid: "bafkreigh2akiscaildc".into(), key: [n; 32], size: 70_000, sha256: [n + 1; 32] };
    let contents = [
        Content::default(),
        Content {
            subject: Some("Grüße 😀".into()),
            attachments: vec![],
            skeleton: b"Subject: x\r\n\r\nHi\xff\r\n".to_vec(),
        },
        Content {
            subject: Some(String::new()),
            attachments: vec![
                Attachment {
                    reference: reference(1),
                    filename: Some("report \"1\".pdf".into()),
                    mime_type: Some("application/pdf".into()),
                    place: AttachmentPlace {
                        at: 4,
                        encoding: Encoding::Base64 { line: 76, ending: LineEnding::Crlf, final_ending: true },
                    },
                },
                Attachment {
                    reference: reference(3),
                    filename: None,
                    mime_type: None,
                    place: AttachmentPlace { at: 8, encoding: Encoding::Verbatim },
                },
            ],
            skeleton: b"abcdefgh".to_vec(),
        },
    ];
    let cases: Vec<Value> = contents
        .iter()
        .map(|content| {
            let octets = content.encode().unwrap();
            assert_eq!(&Content::decode(octets.clone()).unwrap(), content);
            let head_end = 4 + u32::from_be_bytes(octets[..4].try_into().unwrap()) as usize;
            json!({
                "head": serde_json::from_slice::<Value>(&octets[4..head_end]).unwrap(),
                "skeleton": hex::encode(&content.skeleton),
                "octets": hex::encode(&octets),
            })
        })
        .collect();
    let refused = ["", "000000", "00000002", "000000027b7d", "ffffffff7b7d"];
    for octets in refused {
        assert!(Content::decode(hex::decode(octets).unwrap()).is_err(), "{octets}");
    }
    check("content.json", &json!({ "contents": cases, "refused": refused }));
}

#[test]
fn sealing_with_ecies1() {
    check("ecies1.json", &sealing(Scheme::Ecies1));
}

#[test]
fn sealing_with_ecies1e() {
    check("ecies1e.json", &sealing(Scheme::Ecies1e));
}

/// Two messages for one recipient under each algorithm; each blob also decrypted here, from the protocol's text alone.
fn sealing(scheme: Scheme) -> Value {
    let author = Identity::from_secret_bytes(&[0x11; 32]).unwrap();
    let recipient = Identity::from_secret_bytes(&[0x22; 32]).unwrap();
    let opener = Opener::new(&recipient);
    let mut cases = Vec::new();
    for algorithm in Algorithm::ALL {
        let sealer = Sealer::with(&author, scheme, algorithm);
        for number in 0..2_u8 {
            let fresh = scheme == Scheme::Ecies1 || number == 0;
            let ephemeral_secret = [0x33 + if scheme == Scheme::Ecies1 { number } else { 0 }; 32];
            let content_id = [0x40 + number; 16];
            let nonces = [[0x50 + number; 12], [0x60 + number; 12], [0x70 + number; 12], [0x80 + number; 12]];
            let mut draws = if fresh { ephemeral_secret.to_vec() } else { Vec::new() };
            draws.extend(content_id);
            draws.extend(nonces.concat());
            let content = Content {
                subject: Some(format!("Number {number}")),
                skeleton: vec![b'x'; 40 * usize::from(number)],
                ..Content::default()
            };
            let (content, summary, digest, trigrams) =
                (content.encode().unwrap(), b"a summary", b"a digest line", b"some bits");
            let mut rng = Draws { left: draws };
            let plaintexts = Plaintexts { content: &content, summary, digest: Some(digest), trigrams: Some(trigrams) };
            let sealed =
                sealer.seal_all(&mut rng, NOW + u64::from(number), &recipient.public_key(), plaintexts).unwrap();
            assert!(rng.left.is_empty(), "the order of draws is documented");
            let (digest_blob, trigrams_blob) = (sealed.digest.clone().unwrap(), sealed.trigrams.clone().unwrap());
            assert_eq!(opener.open_content(&sealed.content).unwrap().content, content);
            assert_eq!(opener.open_summary(&sealed.summary).unwrap(), summary);
            assert_eq!(opener.open_digest(&digest_blob).unwrap(), digest);
            assert_eq!(opener.open_trigrams(&trigrams_blob).unwrap(), trigrams);

            let agreed = Agreed::by_the_text(&ephemeral_secret, &recipient.public_key());
            let header: Value = serde_json::from_slice(sealed.header()).unwrap();
            let wire = wire_json(&sealed.content).unwrap();
            let ciphertext =
                base64::prelude::BASE64_STANDARD.decode(wire["encrypted"]["ciphertext"].as_str().unwrap()).unwrap();
            let mut ad = header.clone();
            ad.as_object_mut().unwrap().retain(|field, _| field != "id" && field != "signature");
            ad["encrypted"].as_object_mut().unwrap().remove("sha256");
            let ad = jcs::canonical(&ad).unwrap();
            let parties =
                [agreed.ephemeral, *author.public_key().as_bytes(), *recipient.public_key().as_bytes()].concat();
            let key = |purpose| agreed.key(&parties, &content_id, scheme, algorithm, purpose);
            assert_eq!(decrypt(algorithm, &key("content"), nonces[0], &ad, &ciphertext), content);
            assert_eq!(
                decrypt(algorithm, &key("summary"), nonces[1], &sealed.summary[..96], &sealed.summary[96..]),
                summary
            );
            assert_eq!(decrypt(algorithm, &key("digest"), nonces[2], &digest_blob[..96], &digest_blob[96..]), digest);
            assert_eq!(
                decrypt(algorithm, &key("trigrams"), nonces[3], &trigrams_blob[..96], &trigrams_blob[96..]),
                trigrams
            );
            cases.push(json!({
                "algorithm": algorithm.name(),
                "authorSecretKey": hex::encode([0x11; 32]),
                "recipientSecretKey": hex::encode([0x22; 32]),
                "ephemeralSecretKey": hex::encode(ephemeral_secret),
                "contentId": hex::encode(content_id),
                "nonces": nonces.map(hex::encode),
                "timestamp": NOW + u64::from(number),
                "content": hex::encode(&content),
                "summary": hex::encode(summary),
                "digest": hex::encode(digest),
                "trigrams": hex::encode(trigrams),
                "sharedX": hex::encode(&agreed.shared_x),
                "prk": hex::encode(&agreed.prk),
                "keys": { "content": hex::encode(key("content")), "summary": hex::encode(key("summary")), "digest": hex::encode(key("digest")), "trigrams": hex::encode(key("trigrams")) },
                "associatedData": String::from_utf8(ad).unwrap(),
                "id": sealed.id.to_string(),
                "contentBlob": hex::encode(&sealed.content),
                "summaryBlob": hex::encode(&sealed.summary),
                "digestBlob": hex::encode(&digest_blob),
                "trigramsBlob": hex::encode(&trigrams_blob),
                "wire": wire,
            }));
        }
    }
    json!({ "scheme": scheme.name(), "messages": cases })
}

/// The key agreement of protocol.md §7, written a second time.
struct Agreed {
    ephemeral: [u8; 32],
    shared_x: Vec<u8>,
    prk: Vec<u8>,
}

impl Agreed {
    fn by_the_text(ephemeral_secret: &[u8; 32], recipient: &PublicKey) -> Self {
        let secret = SecretKey::from_slice(ephemeral_secret).unwrap();
        let even = XOnlyPublicKey::from_slice(recipient.as_bytes()).unwrap().public_key(Parity::Even);
        let shared_x = ecdh::shared_secret_point(&even, &secret)[..32].to_vec();
        let salt = hmac::Key::new(hmac::HMAC_SHA256, b"lnmp-v1");
        let prk = hmac::sign(&salt, &shared_x).as_ref().to_vec();
        Self { ephemeral: secret.x_only_public_key(secp256k1::SECP256K1).0.serialize(), shared_x, prk }
    }

    fn key(&self, parties: &[u8], content_id: &[u8], scheme: Scheme, algorithm: Algorithm, purpose: &str) -> [u8; 32] {
        let text = format!("{}/{}/{purpose}", scheme.name(), algorithm.name());
        let info = [parties, content_id, text.as_bytes()].concat();
        let mut key = [0; 32];
        hkdf::Prk::new_less_safe(hkdf::HKDF_SHA256, &self.prk)
            .expand(&[&info], hkdf::HKDF_SHA256)
            .and_then(|okm| okm.fill(&mut key))
            .expect("32 octets");
        key
    }
}

fn decrypt(algorithm: Algorithm, key: &[u8; 32], nonce: [u8; 12], ad: &[u8], sealed: &[u8]) -> Vec<u8> {
    use ring::aead::{AES_256_GCM, Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
    let algorithm = match algorithm {
        Algorithm::Aes256Gcm => &AES_256_GCM,
        Algorithm::ChaCha20Poly1305 => &CHACHA20_POLY1305,
    };
    let key = LessSafeKey::new(UnboundKey::new(algorithm, key).expect("32 octets"));
    let mut buffer = sealed.to_vec();
    let padded = key
        .open_in_place(Nonce::assume_unique_for_key(nonce), Aad::from(ad), &mut buffer)
        .expect("it opens by the text");
    let (rest, length) = padded.split_last_chunk::<4>().expect("padding ends in a length");
    rest[..u32::from_be_bytes(*length) as usize].to_vec()
}

fn sha256(bytes: &[u8]) -> Vec<u8> {
    digest::digest(&digest::SHA256, bytes).as_ref().to_vec()
}

/// Wraps hold nonces of chance and the writing machine's faster AEAD: these are opened, not recomputed.
#[test]
fn wraps() {
    const NAME: &str = "wraps.json";
    let key = MailboxKey::from_bytes([0x77; 32]);
    let bridge = BridgeKey::from_bytes([0x88; 32]);
    if std::env::var_os("SATCHEL_WRITE_VECTORS").is_some() {
        let rng = &mut rand::thread_rng();
        let (app, phrase) = (AppPassword::generate(rng), RecoveryPhrase::generate(rng));
        let password = key.wrap_with_password(rng, "17", "correct horse", PasswordParams::default()).unwrap();
        let subkey = bridge.subkey("outbox");
        let vectors = json!({
            "account": "17",
            "mailboxKey": hex::encode(key.reveal()),
            "bridgeKey": hex::encode(bridge.reveal()),
            "password": { "password": "correct horse", "wrap": hex::encode(password) },
            "appPassword": { "password": app.show().reveal(), "wrapId": app.wrap_id().to_string(),
                             "wrap": hex::encode(key.wrap_with_app_password(rng, "17", &app)) },
            "phrase": { "phrase": phrase.show().reveal(), "wrap": hex::encode(key.wrap_with_phrase(rng, "17", &phrase)) },
            "bridge": { "wrap": hex::encode(key.wrap_with_key(rng, "17", &bridge)) },
            "secret": { "purpose": "outbox", "key": hex::encode(*subkey), "ad": hex::encode("row 1"), "plain": hex::encode("hello"),
                        "sealed": hex::encode(lnmp::seal_secret(rng, &subkey, b"row 1", b"hello")) },
            "keyedHash": { "purpose": "contact", "octets": hex::encode("bob@shop.test"),
                           "hash": hex::encode(bridge.keyed_hash("contact", b"bob@shop.test")) },
        });
        check(NAME, &vectors);
    }
    let vectors = read(NAME);
    let octets = |value: &Value| hex::decode(value.as_str().expect("a string")).expect("hexadecimal");
    let text = |value: &Value| value.as_str().expect("a string").to_owned();
    let wrap = octets(&vectors["password"]["wrap"]);
    assert_eq!(wrap[1..5], ARGON2_KIB.to_be_bytes());
    assert_eq!(MailboxKey::unwrap_with_password("17", "correct horse", &wrap).unwrap(), key);
    let app = AppPassword::parse(&text(&vectors["appPassword"]["password"])).unwrap();
    assert_eq!(app.wrap_id().to_string(), text(&vectors["appPassword"]["wrapId"]));
    let wrap = octets(&vectors["appPassword"]["wrap"]);
    assert_eq!(MailboxKey::unwrap_with_app_password("17", &app, &wrap).unwrap(), key);
    let phrase = RecoveryPhrase::parse(&text(&vectors["phrase"]["phrase"])).unwrap();
    assert_eq!(MailboxKey::unwrap_with_phrase("17", &phrase, &octets(&vectors["phrase"]["wrap"])).unwrap(), key);
    assert_eq!(MailboxKey::unwrap_with_key("17", &bridge, &octets(&vectors["bridge"]["wrap"])).unwrap(), key);
    let secret = &vectors["secret"];
    let subkey = bridge.subkey(&text(&secret["purpose"]));
    assert_eq!(octets(&secret["key"]), *subkey);
    assert_eq!(
        open_secret(&subkey, &octets(&secret["ad"]), &octets(&secret["sealed"])).unwrap(),
        octets(&secret["plain"])
    );
    let hash = &vectors["keyedHash"];
    assert_eq!(bridge.keyed_hash(&text(&hash["purpose"]), &octets(&hash["octets"])).to_vec(), octets(&hash["hash"]));
}
