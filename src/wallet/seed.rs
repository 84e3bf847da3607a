//! The recovery phrase of the embedded node: 24 words of BIP 39, made once for each network, sealed under the bridge key.
//!
//! The words bring back what the node has on the chain. They bring no channel back: a channel lives in the node's state,
//! and an old state of it would forfeit it.

use std::io;
use std::path::PathBuf;

use anyhow::{Context, anyhow, bail};
use bip39::{Language, Mnemonic};
use lnmp::{BridgeKey, open_secret, seal_secret};
use rand::RngCore;
use rand::rngs::OsRng;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::config::{Network, WalletBackend};
use crate::dir::{Dir, write_durably};
use crate::house::House;

/// What the words are sealed for; the network's name follows.
const CONTEXT: &str = "satchel/wallet-seed/";
/// Octets of entropy behind 24 words.
const ENTROPY_BYTES: usize = 32;
/// The name under which the database says that they were looked at; the network's follows.
const SEEN: &str = "wallet-seed-seen/";
/// Blocks before which no Satchel ran: October 2025.
const FIRST_MAINNET: u32 = 917_000;
/// The same on signet.
const FIRST_SIGNET: u32 = 272_000;

/// The node's seed, made on first use.
pub fn load_or_make(dir: &Dir, bridge: &BridgeKey, network: &str) -> anyhow::Result<Zeroizing<[u8; 64]>> {
    let words = match load(dir, bridge, network)? {
        Some(words) => words,
        None => {
            if dir.node(network).exists() {
                bail!(
                    "{}: missing, but {} exists and cannot be used without it; put the file back",
                    dir.wallet_seed(network).display(),
                    dir.node(network).display()
                );
            }
            let mut entropy = Zeroizing::new([0; ENTROPY_BYTES]);
            OsRng.fill_bytes(&mut *entropy);
            let words = Mnemonic::from_entropy(&*entropy).context("24 words")?;
            keep(dir, bridge, network, &words)?;
            words
        }
    };
    Ok(Zeroizing::new(words.to_seed("")))
}

/// The words, where there are any.
pub fn load(dir: &Dir, bridge: &BridgeKey, network: &str) -> anyhow::Result<Option<Mnemonic>> {
    let path = dir.wallet_seed(network);
    match std::fs::read(&path) {
        Ok(sealed) => {
            let context = format!("{CONTEXT}{network}");
            let entropy =
                open_secret(&bridge.subkey("wallet-seed"), context.as_bytes(), &sealed).with_context(|| {
                    format!("{}: not sealed under this bridge key; do both come from the same DIR?", path.display())
                })?;
            let entropy = Zeroizing::new(entropy);
            Ok(Some(Mnemonic::from_entropy(&entropy).with_context(|| format!("{}: damaged", path.display()))?))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| path.display().to_string()),
    }
}

/// The file that says from which block on a restored wallet looks for its coins.
fn birth_file(dir: &Dir, network: &str) -> PathBuf {
    dir.keys().join(format!("wallet-{network}.since"))
}

/// From which block on a wallet that was restored looks for its coins; `None` for one that was made here.
pub fn birth_height(dir: &Dir, network: &str) -> anyhow::Result<Option<u32>> {
    let path = birth_file(dir, network);
    match std::fs::read_to_string(&path) {
        Ok(text) => Ok(Some(text.trim().parse().with_context(|| format!("{}: is no height", path.display()))?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| path.display().to_string()),
    }
}

/// `satchel wallet seed`: the words, and that they were seen.
pub async fn show(house: &House) -> anyhow::Result<Value> {
    let network = embedded_network(house)?;
    let words = load(&house.dir, house.keys.bridge(), network)?;
    let words = words.with_context(|| format!("there is no node on {network} yet: its first start makes the words"))?;
    house.store.set_meta(&format!("{SEEN}{network}"), b"1").await?;
    Ok(json!({ "network": network, "words": words.to_string() }))
}

/// Whether there are words that nobody has looked at.
pub async fn is_unseen(house: &House) -> anyhow::Result<bool> {
    let Ok(network) = embedded_network(house) else { return Ok(false) };
    Ok(house.store.get_meta(&format!("{SEEN}{network}")).await?.is_none())
}

/// `satchel wallet restore`: the words of a node that was somewhere else, for a directory that has none.
pub async fn restore(house: &House, words: &str, since: Option<u32>) -> anyhow::Result<Value> {
    if house.running().is_ok() {
        bail!(
            "the server runs and has a node: words are restored into a directory that has none, before its first start"
        );
    }
    let network = embedded_network(house)?;
    let (file, state) = (house.dir.wallet_seed(network), house.dir.node(network));
    for there in [&file, &state] {
        if there.exists() {
            bail!(
                "{}: this directory has a node on {network}; words are restored into one that has none. Nothing was changed",
                there.display()
            );
        }
    }
    let words: Vec<&str> = words.split_whitespace().collect();
    let mnemonic = Mnemonic::parse_in(Language::English, words.join(" ")).map_err(|error| match error {
        // The word itself is not repeated.
        bip39::Error::UnknownWord(at) => anyhow!("word {} is not in the list of BIP 39 (English)", at + 1),
        bip39::Error::BadWordCount(count) => anyhow!("{count} words; allowed: 24, as `satchel wallet seed` shows them"),
        bip39::Error::InvalidChecksum => {
            anyhow!("the words do not fit each other: is one of them another, or out of place?")
        }
        bip39::Error::BadEntropyBitCount(_) | bip39::Error::AmbiguousLanguages(_) => anyhow!("these are no 24 words"),
    })?;
    let since = since.unwrap_or(match house.config.network {
        Network::Mainnet => FIRST_MAINNET,
        Network::Signet => FIRST_SIGNET,
        Network::Sandbox | Network::Testnet4 | Network::Regtest => 0,
    });
    // The height first: without words it says nothing.
    write_durably(&birth_file(&house.dir, network), since.to_string().as_bytes())?;
    keep(&house.dir, house.keys.bridge(), network, &mnemonic)?;
    house.store.set_meta(&format!("{SEEN}{network}"), b"1").await?;
    Ok(json!({ "network": network, "since": since }))
}

fn embedded_network(house: &House) -> anyhow::Result<&'static str> {
    let config = &house.config;
    if config.wallet.backend != WalletBackend::Embedded {
        bail!("the node of [wallet] ({}) has its own words", config.wallet.backend.name());
    }
    if config.has_sandbox() {
        bail!("the sandbox's coins are worth nothing, and its nodes have no words; set `network` in the config first");
    }
    Ok(config.network.name())
}

/// Seals and writes the words.
fn keep(dir: &Dir, bridge: &BridgeKey, network: &str, words: &Mnemonic) -> anyhow::Result<()> {
    let (entropy, length) = words.to_entropy_array();
    let entropy = Zeroizing::new(entropy);
    let context = format!("{CONTEXT}{network}");
    let sealed = seal_secret(&mut OsRng, &bridge.subkey("wallet-seed"), context.as_bytes(), &entropy[..length]);
    Ok(write_durably(&dir.wallet_seed(network), &sealed)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_made_once_for_each_network_and_opens_under_its_key_only() {
        let folder = tempfile::tempdir().unwrap();
        let dir = Dir::open(folder.path()).unwrap();
        let (bridge, other) = (BridgeKey::from_bytes([1; 32]), BridgeKey::from_bytes([2; 32]));
        let first = load_or_make(&dir, &bridge, "signet").unwrap();
        assert_eq!(load_or_make(&dir, &bridge, "signet").unwrap(), first);
        assert_ne!(load_or_make(&dir, &bridge, "mainnet").unwrap(), first);
        assert!(load_or_make(&dir, &other, "signet").is_err());
        let words = load(&dir, &bridge, "signet").unwrap().unwrap();
        assert_eq!(words.word_count(), 24);
        assert_eq!(words.to_seed(""), *first, "the phrase is the seed");
        let sealed = std::fs::read(dir.wallet_seed("signet")).unwrap();
        let (entropy, length) = words.to_entropy_array();
        assert!(!sealed.windows(length).any(|part| part == &entropy[..length]));
    }

    #[test]
    fn a_state_without_its_seed_gets_no_new_one() {
        let folder = tempfile::tempdir().unwrap();
        let dir = Dir::open(folder.path()).unwrap();
        std::fs::create_dir_all(dir.node("signet")).unwrap();
        let refused = load_or_make(&dir, &BridgeKey::from_bytes([1; 32]), "signet").unwrap_err().to_string();
        assert!(refused.contains("put the file back"), "{refused}");
    }
}
