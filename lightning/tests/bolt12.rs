//! The vectors of BOLT 12, as far as the offers library reads them.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;

use bitcoin::hashes::{Hash, sha256};
use bitcoin::secp256k1::schnorr::Signature;
use bitcoin::secp256k1::{Message, Secp256k1, SecretKey};
use ldk::ln::channelmanager::PaymentId;
use ldk::offers::invoice_request::InvoiceRequest;
use ldk::offers::nonce::Nonce;
use ldk::offers::offer::{Offer, OfferBuilder};
use ldk::offers::parse::{Bolt12ParseError, Bolt12SemanticError};
use ldk::sign::{KeysManager, NodeSigner};
use ldk::util::ser::Writeable;
use serde_json::Value;

fn vectors(name: &str) -> Option<Vec<Value>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/vectors").join(name);
    let Ok(text) = std::fs::read_to_string(&path) else {
        assert!(std::env::var_os("CI").is_none(), "{} is missing", path.display());
        println!("SKIPPED: {} is missing", path.display());
        return None;
    };
    Some(serde_json::from_str(&text).unwrap())
}

/// Whether an offer may be paid. The library reads three kinds of offers that BOLT 12 forbids, so whoever pays one has to
/// ask more: that no feature is unknown and required, that there is a chain, and that the text is the only one of its
/// octets.
fn parses(text: &str) -> bool {
    let plain: String = text.chars().filter(|c| *c != '+' && !c.is_whitespace()).collect();
    text.parse::<Offer>().is_ok_and(|offer| {
        !offer.offer_features().requires_unknown_bits()
            && !offer.chains().is_empty()
            && offer.to_string() == plain.to_ascii_lowercase()
    })
}

#[test]
fn offers_parse_or_fail_as_the_vectors_say() {
    let Some(vectors) = vectors("bolt12-offers-test.json") else { return };
    let (mut valid, mut invalid) = (0, 0);
    for case in &vectors {
        let (text, description) = (case["bolt12"].as_str().unwrap(), case["description"].as_str().unwrap());
        let expected = case["valid"].as_bool().unwrap();
        assert_eq!(parses(text), expected, "{description}");
        if expected {
            // Type and value of every field, in order.
            let fields = case["fields"].as_array().unwrap();
            let expected: Vec<(u64, Vec<u8>)> = fields
                .iter()
                .map(|field| (field["type"].as_u64().unwrap(), hex::decode(field["hex"].as_str().unwrap()).unwrap()))
                .collect();
            let read: Vec<(u64, Vec<u8>)> = tlvs(&octets(text)).iter().map(|tlv| (tlv.number, tlv.value())).collect();
            assert_eq!(read, expected, "{description}");
            let offer: Offer = text.parse().unwrap();
            assert_eq!(offer.to_string(), text, "{description}");
            assert_eq!(offer.to_string().parse::<Offer>().unwrap(), offer, "{description}");
            valid += 1;
        } else {
            invalid += 1;
        }
    }
    assert!(valid >= 20 && invalid >= 30, "{valid} and {invalid}");
}

#[test]
fn strings_may_be_broken_up_only_as_the_vectors_say() {
    let Some(vectors) = vectors("bolt12-format-string-test.json") else { return };
    assert!(vectors.len() >= 10);
    for case in &vectors {
        assert_eq!(parses(case["string"].as_str().unwrap()), case["valid"].as_bool().unwrap(), "{case}");
    }
}

#[test]
fn a_request_in_a_currency_is_refused_for_that_and_nothing_else() {
    let Some(vectors) = vectors("bolt12-signature-test.json") else { return };
    let signed: Vec<&str> = vectors.iter().filter_map(|case| case.get("bolt12")?.as_str()).collect();
    assert!(!signed.is_empty());
    for text in signed {
        // The only signed vector asks for dollars, which the library has no rate for; its other fields are read before.
        let refused = InvoiceRequest::try_from(octets(text)).err();
        let currency = Bolt12ParseError::InvalidSemantics(Bolt12SemanticError::UnsupportedCurrency);
        assert_eq!(refused, Some(currency), "{text}");
    }
}

/// BOLT 12, signature calculation: the vectors' trees, and then what the library itself signs, by the same rules.
#[test]
fn merkle_trees_and_signatures_are_those_of_the_vectors_and_the_library_signs_by_them() {
    let Some(vectors) = vectors("bolt12-signature-test.json") else { return };
    assert!(vectors.len() >= 4);
    let secp = Secp256k1::new();
    for case in &vectors {
        let leaves: Vec<Vec<u8>> = case["leaves"].as_array().unwrap().iter().map(leaf_of).collect();
        assert_eq!(leaves[0], hex::decode(case["first-tlv"].as_str().unwrap()).unwrap());
        let nodes = hashes(&leaves);
        for (case, node) in case["leaves"].as_array().unwrap().iter().zip(&nodes) {
            assert_eq!(case["H(`LnBranch`,leaf+nonce)"].as_str().unwrap(), hex::encode(node), "{case}");
        }
        let root = root(nodes);
        assert_eq!(case["merkle"].as_str().unwrap(), hex::encode(root), "{}", case["comment"]);
        let Some(text) = case.get("bolt12").and_then(Value::as_str) else { continue };
        // The leaves are the request's fields but for its signature.
        let fields = tlvs(&octets(text));
        let signed: Vec<_> = fields.iter().filter(|tlv| !is_signature(tlv)).map(|tlv| tlv.whole.clone()).collect();
        assert_eq!(signed, leaves);
        let tag = case["signature_tag"].as_str().unwrap();
        let digest = tagged(tag.as_bytes(), &[&root]);
        assert_eq!(case["H(signature_tag,merkle)"].as_str().unwrap(), hex::encode(digest));
        let signature = &fields.iter().find(|tlv| is_signature(tlv)).unwrap().value();
        assert_eq!(case["signature"].as_str().unwrap(), hex::encode(signature));
        // Bob's.
        let bob = SecretKey::from_slice(&[0x42; 32]).unwrap().x_only_public_key(&secp).0;
        let signature = Signature::from_slice(signature).unwrap();
        secp.verify_schnorr(&signature, &Message::from_digest(digest), &bob).unwrap();
    }

    let keys = KeysManager::new(&[7; 32], 1, 1, true);
    let payee = SecretKey::from_slice(&[0x41; 32]).unwrap().public_key(&secp);
    let offer =
        OfferBuilder::new(payee).amount_msats(100_000).description("A Mathematical Treatise".into()).build().unwrap();
    let nonce = Nonce::from_entropy_source(&keys);
    let request = offer.request_invoice(&keys.get_expanded_key(), nonce, &secp, PaymentId([1; 32])).unwrap();
    let request = request.build_and_sign().unwrap();
    let fields = tlvs(&request.encode());
    let leaves: Vec<_> = fields.iter().filter(|tlv| !is_signature(tlv)).map(|tlv| tlv.whole.clone()).collect();
    let digest = tagged(b"lightninginvoice_requestsignature", &[&root(hashes(&leaves))]);
    let signature = Signature::from_slice(&fields.iter().find(|tlv| is_signature(tlv)).unwrap().value()).unwrap();
    let payer = request.payer_signing_pubkey().x_only_public_key().0;
    secp.verify_schnorr(&signature, &Message::from_digest(digest), &payer).unwrap();
}

/// The octets a vector's leaf is named after.
fn leaf_of(case: &Value) -> Vec<u8> {
    let name = case.as_object().unwrap().keys().find_map(|key| key.strip_prefix("H(`LnLeaf`,")).unwrap();
    hex::decode(name.trim_end_matches(')')).unwrap()
}

/// One field of a TLV stream.
struct Tlv {
    number: u64,
    /// Type, length and value.
    whole: Vec<u8>,
    value_at: usize,
}

impl Tlv {
    fn value(&self) -> Vec<u8> {
        self.whole[self.value_at..].to_vec()
    }
}

fn is_signature(tlv: &Tlv) -> bool {
    (240..=1000).contains(&tlv.number)
}

fn tlvs(mut octets: &[u8]) -> Vec<Tlv> {
    let mut all = Vec::new();
    while !octets.is_empty() {
        let (number, type_len) = big_size(octets);
        let (len, len_len) = big_size(&octets[type_len..]);
        let value_at = type_len + len_len;
        let end = value_at + usize::try_from(len).unwrap();
        all.push(Tlv { number, whole: octets[..end].to_vec(), value_at });
        octets = &octets[end..];
    }
    all
}

/// BOLT 1: a number of 1, 3, 5 or 9 octets, and how many.
fn big_size(octets: &[u8]) -> (u64, usize) {
    let wide = |count: usize| octets[1..=count].iter().fold(0, |sum, octet| sum << 8 | u64::from(*octet));
    match octets[0] {
        0xfd => (wide(2), 3),
        0xfe => (wide(4), 5),
        0xff => (wide(8), 9),
        small => (small.into(), 1),
    }
}

fn tagged(tag: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let tag = sha256::Hash::hash(tag).to_byte_array();
    sha256::Hash::hash(&[&[&tag[..], &tag[..]], parts].concat().concat()).to_byte_array()
}

fn branch(one: [u8; 32], other: [u8; 32]) -> [u8; 32] {
    tagged(b"LnBranch", &[&one.min(other), &one.max(other)])
}

/// Each leaf joined with its nonce.
fn hashes(leaves: &[Vec<u8>]) -> Vec<[u8; 32]> {
    let nonce_tag = [b"LnNonce", &leaves[0][..]].concat();
    let join = |leaf: &Vec<u8>| {
        let number = &leaf[..big_size(leaf).1];
        branch(tagged(b"LnLeaf", &[leaf]), tagged(&nonce_tag, &[number]))
    };
    leaves.iter().map(join).collect()
}

/// Pairs, level by level; an odd one goes up as it is.
fn root(mut level: Vec<[u8; 32]>) -> [u8; 32] {
    while level.len() > 1 {
        level =
            level.chunks(2).map(|pair| if let [one, other] = *pair { branch(one, other) } else { pair[0] }).collect();
    }
    level[0]
}

/// Bech32 without a checksum, which is all BOLT 12 takes of it.
fn octets(text: &str) -> Vec<u8> {
    let alphabet = "qpzry9x8gf2tvdw0s3jn54khce6mua7l";
    let (_, data) = text.split_once('1').unwrap();
    let (mut out, mut bits, mut count) = (Vec::new(), 0_u32, 0);
    for c in data.chars() {
        bits = (bits << 5) | u32::try_from(alphabet.find(c).unwrap()).unwrap();
        count += 5;
        if count >= 8 {
            count -= 8;
            out.push(u8::try_from((bits >> count) & 0xff).unwrap());
        }
    }
    out
}
