//! The miner's key, and the one transaction that gives both nodes their first coins.

use bitcoin::absolute::LockTime;
use bitcoin::bip32::Xpriv;
use bitcoin::secp256k1::{Message, Secp256k1, SecretKey};
use bitcoin::sighash::{EcdsaSighashType, SighashCache};
use bitcoin::{
    Amount, CompressedPublicKey, Network, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Witness, ecdsa,
    transaction,
};

use super::SandboxError;

/// Fee of the funding transaction: above 1 sat/vB for a dozen outputs.
const FEE: Amount = Amount::from_sat(2_000);

/// Who the chain's blocks pay.
pub(super) struct Miner {
    secret: SecretKey,
    public: CompressedPublicKey,
}

impl Miner {
    pub(super) fn new(seed: &[u8]) -> Result<Self, SandboxError> {
        let master = Xpriv::new_master(Network::Regtest, seed).map_err(|error| SandboxError::Bug(error.to_string()))?;
        let secret = master.private_key;
        let public = CompressedPublicKey(secret.public_key(&Secp256k1::signing_only()));
        Ok(Self { secret, public })
    }

    /// Pay-to-witness-public-key-hash.
    pub(super) fn script(&self) -> ScriptBuf {
        ScriptBuf::new_p2wpkh(&self.public.wpubkey_hash())
    }

    /// Spends a coinbase to `outputs` and keeps the change.
    pub(super) fn spend(
        &self,
        coin: OutPoint,
        value: Amount,
        mut outputs: Vec<TxOut>,
    ) -> Result<Transaction, SandboxError> {
        let bug = |what: &str| SandboxError::Bug(format!("funding: {what}"));
        let out = outputs.iter().map(|output| output.value).sum::<Amount>();
        let change = value.checked_sub(out + FEE).ok_or_else(|| bug("the coinbase is too small"))?;
        outputs.push(TxOut { value: change, script_pubkey: self.script() });
        let mut tx = Transaction {
            version: transaction::Version::TWO,
            lock_time: LockTime::ZERO,
            input: vec![TxIn {
                previous_output: coin,
                script_sig: ScriptBuf::new(),
                sequence: Sequence::ENABLE_RBF_NO_LOCKTIME,
                witness: Witness::new(),
            }],
            output: outputs,
        };
        let sighash = SighashCache::new(&tx)
            .p2wpkh_signature_hash(0, &self.script(), value, EcdsaSighashType::All)
            .map_err(|_| bug("no signature hash"))?;
        let signature = Secp256k1::signing_only().sign_ecdsa(&Message::from(sighash), &self.secret);
        tx.input[0].witness = Witness::p2wpkh(&ecdsa::Signature::sighash_all(signature), &self.public.0);
        Ok(tx)
    }
}
