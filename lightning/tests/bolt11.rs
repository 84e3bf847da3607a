//! The examples of BOLT 11, every one, as the invoice library and [`lightning::Invoice`] read them.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::path::Path;
use std::str::FromStr;

use lightning::Invoice;
use lightning_invoice::{Bolt11Invoice, Currency};
use lnmp::{Msat, PaymentHash};

/// What the text says of it, and the invoice.
type Example = (String, String);

/// The valid ones, and the others.
fn examples() -> Option<(Vec<Example>, Vec<Example>)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/vectors/bolt11-examples.md");
    let Ok(text) = std::fs::read_to_string(&path) else {
        assert!(std::env::var_os("CI").is_none(), "{} is missing", path.display());
        println!("SKIPPED: {} is missing", path.display());
        return None;
    };
    // The valid ones come first; "Examples of Invalid Invoices" is the second heading.
    let (valid, invalid) = text.split_once("# Examples of Invalid Invoices").unwrap();
    let of = |part: &str| -> Vec<Example> {
        let mut all = Vec::new();
        let mut lines = part.lines();
        while let Some(line) = lines.next() {
            let Some(title) = line.strip_prefix("> #") else { continue };
            // Below its title; one of them stands outside of the quotation.
            let mut below = lines.by_ref().map(|line| line.trim_start_matches('>').trim());
            let invoice = below.find(|line| !line.is_empty()).unwrap();
            all.push((title.trim_start_matches('#').trim().to_owned(), invoice.to_owned()));
        }
        all
    };
    Some((of(valid), of(invalid)))
}

/// Millisatoshis of the amount in an invoice's prefix; zero where it names none.
fn amount(invoice: &str) -> Msat {
    let head = &invoice[..invoice.rfind('1').unwrap()].to_lowercase();
    let amount = head.trim_start_matches("lnbc").trim_start_matches("lntb");
    let Some(unit) = amount.chars().last() else { return Msat::ZERO };
    let number: u64 = amount.trim_end_matches(unit).parse().unwrap();
    Msat(match unit {
        'm' => number * 100_000_000,
        'u' => number * 100_000,
        'n' => number * 100,
        'p' => number / 10,
        _ => panic!("{unit}"),
    })
}

#[test]
fn the_valid_examples_of_bolt_11_are_read_field_by_field() {
    let Some((valid, _)) = examples() else { return };
    assert!(valid.len() >= 16, "{}", valid.len());
    let node = "03e7156ae33b0a208d0744199163177e909e80176e55d97a2f221ede0f934dd9ad";
    for (title, text) in &valid {
        let invoice = Bolt11Invoice::from_str(text).unwrap_or_else(|error| panic!("{title}: {error}"));
        // From a high S another key is recovered: the text only asks that it parses.
        let recovered = invoice.recover_payee_pub_key().to_string();
        assert!(recovered == node || title.contains("high-S"), "{title}");
        // The library writes fields in an order of its own, and leaves out what it must ignore; what it writes says the
        // same.
        let again = Bolt11Invoice::from_str(&invoice.to_string()).unwrap();
        assert_eq!(again.payment_hash(), invoice.payment_hash(), "{title}");
        let read = Invoice::parse(text).unwrap();
        assert_eq!(read.amount, amount(text), "{title}");
        if !title.contains("list of items within one week") {
            let hash = hex::decode("0001020304050607080900010203040506070809000102030405060708090102").unwrap();
            assert_eq!(read.hash, PaymentHash(hash.try_into().unwrap()), "{title}");
        }
        assert_eq!(invoice.payment_secret().0, [0x11; 32], "{title}");
        assert_eq!(invoice.currency() == Currency::BitcoinTestnet, title.contains("on testnet"), "{title}");
        assert_eq!(invoice.fallback_addresses().is_empty(), !title.contains("fallback"), "{title}");
        assert_eq!(
            invoice.route_hints().is_empty(),
            !(title.contains("routing info") || title.contains("one week")),
            "{title}"
        );
        if title.contains("within one minute") {
            assert_eq!(invoice.expiry_time().as_secs(), 60, "{title}");
        }
        let metadata = title.contains("metadata").then(|| vec![0x01, 0xfa, 0xfa, 0xf0]);
        assert_eq!(invoice.payment_metadata().cloned(), metadata, "{title}");
    }
}

#[test]
fn the_invalid_examples_of_bolt_11_are_refused() {
    let Some((_, invalid)) = examples() else { return };
    assert!(invalid.len() >= 10, "{}", invalid.len());
    for (title, text) in &invalid {
        assert!(Bolt11Invoice::from_str(text).is_err(), "{title}");
        assert!(Invoice::parse(text).is_err(), "{title}");
    }
}
