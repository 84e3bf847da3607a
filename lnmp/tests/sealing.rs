//! Sealing and opening, from outside the crate.

use lnmp::limits::{EPOCH_MAILS_MAX, EPOCH_MS_MAX};
use lnmp::{
    Algorithm, Content, Identity, MessageError, MessageId, OpenError, Opener, Scheme, Sealer, from_wire, wire_json,
};
use rand::rngs::StdRng;
use rand::{RngCore, SeedableRng};

const NOW: u64 = 1_790_000_000_000;

fn people() -> (StdRng, Identity, Identity) {
    let mut rng = StdRng::seed_from_u64(42);
    let (bridge, alice) = (Identity::generate(&mut rng), Identity::generate(&mut rng));
    (rng, bridge, alice)
}

fn ephemeral(summary: &[u8]) -> &[u8] {
    &summary[4..36]
}

#[test]
fn what_was_sealed_opens_in_every_scheme_and_algorithm_at_every_size() {
    let (mut rng, bridge, alice) = people();
    let opener = Opener::new(&alice);
    for scheme in [Scheme::Ecies1, Scheme::Ecies1e] {
        for algorithm in Algorithm::ALL {
            let sealer = Sealer::with(&bridge, scheme, algorithm);
            for size in [0, 1, 28, 29, 4096, 65_531, 65_533, 300_000] {
                let mut content = vec![0; size];
                rng.fill_bytes(&mut content);
                let sealed =
                    sealer.seal(&mut rng, NOW, &alice.public_key(), &content, b"summary", Some(b"digest")).unwrap();
                let opened = opener.open_content(&sealed.content).unwrap();
                assert_eq!(opened.content, content);
                assert_eq!((opened.id, opened.content_id), (sealed.id, sealed.content_id));
                assert_eq!((opened.from, opened.timestamp_ms), (bridge.public_key(), NOW));
                assert_eq!(opener.open_known(&sealed.content, &sealed.id).unwrap(), opened);
                assert_eq!(opener.open_summary(&sealed.summary).unwrap(), b"summary");
                assert_eq!(opener.open_digest(sealed.digest.as_ref().unwrap()).unwrap(), b"digest");
            }
        }
    }
}

#[test]
fn an_epoch_serves_one_recipient_for_a_minute_or_a_thousand_mails() {
    let (mut rng, bridge, alice) = people();
    let bob = Identity::generate(&mut rng);
    let sealer = Sealer::new(&bridge);
    let mut at = |now, to: &Identity| {
        let sealed = sealer.seal(&mut rng, now, &to.public_key(), b"c", b"s", None).unwrap();
        ephemeral(&sealed.summary).to_vec()
    };
    let first = at(NOW, &alice);
    assert_eq!(at(NOW + EPOCH_MS_MAX - 1, &alice), first);
    assert_ne!(at(NOW, &bob), first, "another recipient has another key");
    let second = at(NOW + EPOCH_MS_MAX, &alice);
    assert_ne!(second, first, "the minute is over");
    assert_ne!(at(NOW, &alice), second, "a clock that went back ends the epoch");
    let bobs = at(NOW, &bob);
    for _ in 2..EPOCH_MAILS_MAX {
        assert_eq!(at(NOW, &bob), bobs);
    }
    assert_ne!(at(NOW, &bob), bobs, "a thousand mails are enough");
}

#[test]
fn ecies1_takes_a_fresh_key_for_every_message_and_a_restart_begins_a_new_epoch() {
    let (mut rng, bridge, alice) = people();
    let to = alice.public_key();
    let sealer = Sealer::with(&bridge, Scheme::Ecies1, Algorithm::fastest());
    let one = sealer.seal(&mut rng, NOW, &to, b"c", b"s", None).unwrap();
    let two = sealer.seal(&mut rng, NOW, &to, b"c", b"s", None).unwrap();
    assert_ne!(ephemeral(&one.summary), ephemeral(&two.summary));
    let before = Sealer::new(&bridge).seal(&mut rng, NOW, &to, b"c", b"s", None).unwrap();
    let after = Sealer::new(&bridge).seal(&mut rng, NOW, &to, b"c", b"s", None).unwrap();
    assert_ne!(ephemeral(&before.summary), ephemeral(&after.summary));
}

#[test]
fn no_changed_octet_opens() {
    let (mut rng, bridge, alice) = people();
    let sealer = Sealer::new(&bridge);
    let opener = Opener::new(&alice);
    let sealed = sealer.seal(&mut rng, NOW, &alice.public_key(), b"content", b"summary", Some(b"digest")).unwrap();
    for at in 0..sealed.content.len() {
        let mut blob = sealed.content.clone();
        blob[at] ^= 1;
        assert!(opener.open_content(&blob).is_err(), "content, octet {at}");
        // With the id known, the signature's own octets are the only ones that are not looked at.
        let known = opener.open_known(&blob, &sealed.id);
        let signature = signature_at(&sealed.content);
        assert_eq!(known.is_ok(), signature.contains(&at) && blob[at].is_ascii_hexdigit(), "known content, octet {at}");
    }
    for at in 0..sealed.summary.len() {
        let mut blob = sealed.summary.clone();
        blob[at] ^= 1;
        assert!(opener.open_summary(&blob).is_err(), "summary, octet {at}");
    }
    for end in 0..sealed.content.len() {
        assert!(opener.open_content(&sealed.content[..end]).is_err());
    }
    for end in 0..sealed.summary.len() {
        assert!(opener.open_summary(&sealed.summary[..end]).is_err());
    }
    // One part never passes for another, nor for another message's.
    assert!(opener.open_digest(&sealed.summary).is_err());
    assert!(opener.open_content(&sealed.summary).is_err());
    assert_eq!(opener.open_known(&sealed.content, &MessageId([0; 32])), Err(OpenError::Message(MessageError::Id)));
}

/// Where the digits of the signature lie in a content blob.
fn signature_at(blob: &[u8]) -> std::ops::Range<usize> {
    let field = b"\"signature\":\"";
    let start =
        blob.windows(field.len()).position(|w| w == field).expect("every content has a signature") + field.len();
    start..start + 128
}

#[test]
fn only_the_recipient_opens() {
    let (mut rng, bridge, alice) = people();
    let mallory = Opener::new(&Identity::generate(&mut rng));
    let sealed = Sealer::new(&bridge).seal(&mut rng, NOW, &alice.public_key(), b"c", b"s", None).unwrap();
    assert_eq!(mallory.open_content(&sealed.content), Err(OpenError::NotForUs));
    assert_eq!(mallory.open_summary(&sealed.summary), Err(OpenError::Tampered));
    // Nor does the sender: the ephemeral secret is gone.
    assert_eq!(Opener::new(&bridge).open_summary(&sealed.summary), Err(OpenError::Tampered));
}

#[test]
fn a_message_survives_the_wire_and_a_forged_one_does_not() {
    let (mut rng, bridge, alice) = people();
    let content = Content {
        subject: Some("Hello".into()),
        skeleton: b"Subject: Hello\r\n\r\nHi\r\n".to_vec(),
        ..Content::default()
    };
    let sealed =
        Sealer::new(&bridge).seal(&mut rng, NOW, &alice.public_key(), &content.encode().unwrap(), b"s", None).unwrap();
    let mut wire = wire_json(&sealed.content).unwrap();
    wire["priority"] = "urgent".into();
    let arrived = from_wire(&serde_json::from_str(&wire.to_string()).unwrap(), NOW).unwrap();
    assert_eq!(arrived, sealed.content);
    let opened = Opener::new(&alice).open_content(&arrived).unwrap();
    assert_eq!(Content::decode(opened.content).unwrap(), content);

    let mut forged = wire.clone();
    forged["from"] = alice.public_key().to_string().into();
    assert_eq!(from_wire(&forged, NOW), Err(OpenError::Message(MessageError::Id)));
    let mut swapped = wire.clone();
    swapped["encrypted"]["ciphertext"] = "AAAA".into();
    assert_eq!(from_wire(&swapped, NOW), Err(OpenError::Tampered));
    assert_eq!(from_wire(&wire, NOW - 16 * 60 * 1000), Err(OpenError::Message(MessageError::Ahead)));
    for broken in ["null", "[]", "{}", "{\"encrypted\":{}}", "{\"encrypted\":{\"ciphertext\":\"\"}}"] {
        assert!(from_wire(&serde_json::from_str(broken).unwrap(), NOW).is_err(), "{broken}");
    }
}

/// `cargo test --release -p lnmp --test sealing -- --ignored --nocapture`: what one core does.
#[test]
#[ignore = "prints figures; means something in a release build only"]
fn how_fast_it_is() {
    let (mut rng, bridge, alice) = people();
    let (content, summary) = (vec![b'x'; 4096], vec![b'y'; 1024]);
    let sealer = Sealer::new(&bridge);
    let clock = std::time::Instant::now;
    let start = clock();
    let count = 5000;
    let sealed: Vec<_> = (0..count)
        .map(|i| sealer.seal(&mut rng, NOW + i, &alice.public_key(), &content, &summary, Some(b"line")).unwrap())
        .collect();
    let rate = |what: &str, start: std::time::Instant| {
        println!("{what}: {:.0}/s", count as f64 / start.elapsed().as_secs_f64());
    };
    rate("seal 4 KiB + summary + digest", start);
    let opener = Opener::new(&alice);
    let start = clock();
    sealed.iter().for_each(|s| assert!(opener.open_summary(&s.summary).is_ok()));
    rate("open summary", start);
    let start = clock();
    sealed.iter().for_each(|s| assert!(opener.open_content(&s.content).is_ok()));
    rate("open content, signature verified", start);
    let start = clock();
    sealed.iter().for_each(|s| assert!(opener.open_known(&s.content, &s.id).is_ok()));
    rate("open content, known id", start);
}
