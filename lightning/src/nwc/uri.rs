//! The connection string a wallet gives out (NIP-47): `nostr+walletconnect://PUBKEY?relay=…&secret=…`.
//!
//! Whoever has it can spend: it is read from a file, kept in memory that is wiped, and printed nowhere.

use std::fmt;

use bitcoin::secp256k1::XOnlyPublicKey;
use reqwest::Url;
use thiserror::Error;
use zeroize::Zeroizing;

use super::Keys;
use crate::limits::NWC_RELAYS_MAX;

const SCHEME: &str = "nostr+walletconnect:";

/// Why a text is no connection string. No variant carries a part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum UriError {
    /// It begins with something else.
    #[error("it must begin with nostr+walletconnect://")]
    Scheme,
    /// The wallet's key.
    #[error("after nostr+walletconnect:// the wallet's public key must follow, 64 hex digits")]
    Pubkey,
    /// Our key.
    #[error("it must have one parameter secret, 64 hex digits that are a key")]
    Secret,
    /// Where the wallet listens.
    #[error("it must have one to four parameters relay, each a ws:// or wss:// address")]
    Relay,
}

/// A connection string, read.
pub struct ConnectionUri {
    /// The wallet service's key.
    pub wallet: XOnlyPublicKey,
    /// Our key for this connection.
    pub keys: Keys,
    /// Where the wallet listens.
    pub relays: Vec<String>,
}

impl fmt::Debug for ConnectionUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A relay's address may hold a token.
        write!(f, "ConnectionUri({}, {} relays, [secret])", self.wallet, self.relays.len())
    }
}

impl ConnectionUri {
    /// Reads a connection string; white space around it is fine.
    ///
    /// # Errors
    /// See [`UriError`].
    pub fn parse(text: &str) -> Result<Self, UriError> {
        let text = text.trim();
        let head = text.get(..SCHEME.len()).filter(|head| head.eq_ignore_ascii_case(SCHEME));
        let rest = head.map(|_| &text[SCHEME.len()..]).ok_or(UriError::Scheme)?;
        // The first wallets left the slashes out.
        let rest = rest.strip_prefix("//").unwrap_or(rest);
        let (wallet, query) = rest.split_once('?').unwrap_or((rest, ""));
        let wallet = wallet.trim_end_matches('/').to_ascii_lowercase();
        let wallet = wallet.parse::<XOnlyPublicKey>().map_err(|_| UriError::Pubkey)?;
        let (mut keys, mut relays) = (None, Vec::new());
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            match name {
                "secret" if keys.is_none() => keys = Some(secret(value)?),
                "secret" => return Err(UriError::Secret),
                "relay" => relays.push(relay(value)?),
                // lud16, and what comes later.
                _ => {}
            }
        }
        relays.dedup();
        if relays.is_empty() || relays.len() > NWC_RELAYS_MAX {
            return Err(UriError::Relay);
        }
        Ok(Self { wallet, keys: keys.ok_or(UriError::Secret)?, relays })
    }
}

fn secret(value: &str) -> Result<Keys, UriError> {
    let mut bytes = Zeroizing::new([0; 32]);
    hex::decode_to_slice(value, &mut *bytes).map_err(|_| UriError::Secret)?;
    Keys::new(&bytes).ok_or(UriError::Secret)
}

fn relay(value: &str) -> Result<String, UriError> {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = match (first, tail) {
            (b'%', [high, low, tail @ ..]) => {
                let mut octet = [0];
                hex::decode_to_slice([*high, *low], &mut octet).map_err(|_| UriError::Relay)?;
                bytes.extend_from_slice(&octet);
                tail
            }
            (b'%', _) => return Err(UriError::Relay),
            _ => {
                bytes.push(*first);
                tail
            }
        };
    }
    let text = String::from_utf8(bytes).map_err(|_| UriError::Relay)?;
    let url = Url::parse(&text).map_err(|_| UriError::Relay)?;
    // Over ws:// a relay's neighbours see who talks to whom; what is said is encrypted and signed either way.
    let fine = matches!(url.scheme(), "ws" | "wss") && url.host_str().is_some();
    if fine { Ok(url.into()) } else { Err(UriError::Relay) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "b889ff5b1513b641e2a139f661a661364979c5beee91842f8f0ef42ab558e9d4";
    const SECRET: &str = "71a8c14c1407c113601079c4302dab36460f0ccd0ad506f1f2dc73b5100e4f3c";

    #[test]
    fn the_example_of_nip_47_is_read_and_not_shown() {
        let text = format!("nostr+walletconnect://{KEY}?relay=wss%3A%2F%2Frelay.damus.io&secret={SECRET}\n");
        let uri = ConnectionUri::parse(&text).unwrap();
        assert_eq!(uri.wallet.to_string(), KEY);
        assert_eq!(uri.relays, ["wss://relay.damus.io/"]);
        let ours = Keys::new(&hex::decode(SECRET).unwrap().try_into().unwrap()).unwrap();
        assert_eq!(uri.keys.public(), ours.public());
        let shown = format!("{uri:?}");
        assert!(!shown.contains(&SECRET[..8]) && !shown.contains("damus"), "{shown}");
    }

    #[test]
    fn two_relays_old_slashes_and_strange_parameters_are_fine() {
        let text = format!(
            "nostr+walletconnect:{KEY}?relay=ws://127.0.0.1:7000&relay=wss://b.example/x&lud16=a%40b&secret={SECRET}"
        );
        assert_eq!(ConnectionUri::parse(&text).unwrap().relays, ["ws://127.0.0.1:7000/", "wss://b.example/x"]);
    }

    #[test]
    fn a_broken_string_is_refused_with_what_is_missing() {
        let relay = "relay=wss://a.example";
        for (text, error) in [
            ("nostrconnect://x".to_owned(), UriError::Scheme),
            (String::new(), UriError::Scheme),
            (format!("nostr+walletconnect://{}?{relay}&secret={SECRET}", &KEY[1..]), UriError::Pubkey),
            (format!("nostr+walletconnect://{KEY}?{relay}"), UriError::Secret),
            (format!("nostr+walletconnect://{KEY}?{relay}&secret=00"), UriError::Secret),
            (format!("nostr+walletconnect://{KEY}?{relay}&secret={}", "00".repeat(32)), UriError::Secret),
            (format!("nostr+walletconnect://{KEY}?{relay}&secret={SECRET}&secret={SECRET}"), UriError::Secret),
            (format!("nostr+walletconnect://{KEY}?secret={SECRET}"), UriError::Relay),
            (format!("nostr+walletconnect://{KEY}?relay=https://a.example&secret={SECRET}"), UriError::Relay),
            (format!("nostr+walletconnect://{KEY}?relay=wss%3&secret={SECRET}"), UriError::Relay),
        ] {
            let refused = ConnectionUri::parse(&text).unwrap_err();
            assert_eq!(refused, error, "{text}");
            assert!(!refused.to_string().contains(&SECRET[..8]));
        }
    }
}
