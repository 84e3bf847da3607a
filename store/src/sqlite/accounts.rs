//! Accounts, credentials, addresses; and the house's small named values.

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use lnmp::Place;
use rusqlite::Row;

use super::db::{Db, unknown};
use super::desk;
use super::mailboxes;
use super::messages;
use super::payments;
use super::sharing;
use super::vault::{Hash, Of};
use super::writer::Tx;
use crate::limits::REQUESTS_SEEN_SECONDS;
use crate::{
    Account, AccountId, AccountSettings, Alias, AliasId, Credential, CredentialId, CredentialKind, MessageId,
    NewAccount, NewAlias, NewCredential, Resolution, Result, SpecialUse, StoreError, UnixMs,
};

fn address_hash(db: &Db<'_>, local: &str, domain: &str) -> Hash {
    db.vault.hash(Of::Address, &[local.to_lowercase().as_bytes(), domain.to_lowercase().as_bytes()])
}

fn seal_address(db: &Db<'_>, local: &str, domain: &str) -> Vec<u8> {
    db.vault.seal(Of::Address, format!("{local}@{domain}").as_bytes())
}

fn open_address(db: &Db<'_>, sealed: &[u8]) -> Result<(String, String)> {
    let address = db.vault.open_text(Of::Address, sealed)?;
    let (local, domain) = address.rsplit_once('@').ok_or_else(|| unknown("address"))?;
    Ok((local.to_owned(), domain.to_owned()))
}

/// Makes an account with its eight folders.
pub(super) fn create(tx: &mut Tx<'_>, new: &NewAccount, now: UnixMs) -> Result<AccountId> {
    let hash = address_hash(tx, &new.local, &new.domain);
    if tx.exists("SELECT 1 FROM address WHERE address_hash = ?1", [hash])? {
        return Err(StoreError::Exists("address"));
    }
    if new.credentials.is_empty() {
        return Err(StoreError::Cannot("an account without a credential could never be read"));
    }
    let id = AccountId(tx.insert(
        "INSERT INTO account(name, identity, sealed_seed, settings, created_at, uid_validity_next)
         VALUES (?1, ?2, ?3, ?4, ?5, 1)",
        (
            seal_address(tx, &new.local, &new.domain),
            new.identity,
            &new.sealed_seed,
            seal_settings(tx, &new.settings),
            now,
        ),
    )?);
    tx.run("INSERT INTO address(address_hash, account) VALUES (?1, ?2)", (hash, id.0))?;
    for credential in &new.credentials {
        add_credential(tx, id, credential, now)?;
    }
    for place in Place::BORN {
        let name = place.born_name().expect("every born place has a name");
        mailboxes::create(tx, id, name, place, SpecialUse::NONE, now)?;
        mailboxes::subscribe(tx, id, name, true)?;
    }
    Ok(id)
}

/// The column is text: sealed settings stand there in base64.
fn seal_settings(db: &Db<'_>, settings: &AccountSettings) -> String {
    STANDARD_NO_PAD.encode(db.vault.seal_json(Of::Settings, settings))
}

/// The inverse. The first databases held JSON in the clear; it is sealed when it is next written.
pub(super) fn open_settings(db: &Db<'_>, text: &str) -> Result<AccountSettings> {
    if text.starts_with('{') {
        return serde_json::from_str(text).map_err(|_| unknown("account settings"));
    }
    let sealed = STANDARD_NO_PAD.decode(text).map_err(|_| unknown("account settings"))?;
    db.vault.open_json(Of::Settings, &sealed)
}

const COLUMNS: &str = "SELECT id, name, identity, sealed_seed, settings, created_at, sent_append_at FROM account";

type Raw = (i64, Vec<u8>, [u8; 32], Vec<u8>, String, i64, Option<i64>);

fn read(row: &Row<'_>) -> rusqlite::Result<Raw> {
    Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?, row.get(6)?))
}

fn open(db: &Db<'_>, (id, name, identity, sealed_seed, settings, created_at, sent_append_at): Raw) -> Result<Account> {
    let (local, domain) = open_address(db, &name)?;
    let settings = open_settings(db, &settings)?;
    Ok(Account { id: AccountId(id), local, domain, identity, sealed_seed, settings, created_at, sent_append_at })
}

/// One account.
pub(super) fn get(db: Db<'_>, id: AccountId) -> Result<Option<Account>> {
    db.one(&format!("{COLUMNS} WHERE id = ?1"), [id.0], read)?.map(|raw| open(&db, raw)).transpose()
}

fn at_address(db: &Db<'_>, local: &str, domain: &str) -> Result<Option<(AccountId, Option<AliasId>)>> {
    db.one("SELECT account, alias FROM address WHERE address_hash = ?1", [address_hash(db, local, domain)], |row| {
        Ok((AccountId(row.get(0)?), row.get::<_, Option<i64>>(1)?.map(AliasId)))
    })
}

/// The account with this primary address.
pub(super) fn by_address(db: Db<'_>, local: &str, domain: &str) -> Result<Option<Account>> {
    match at_address(&db, local, domain)? {
        Some((id, None)) => get(db, id),
        Some((_, Some(_))) | None => Ok(None),
    }
}

/// All, oldest first.
pub(super) fn list(db: Db<'_>) -> Result<Vec<Account>> {
    let rows = db.all(&format!("{COLUMNS} ORDER BY id"), (), read)?;
    rows.into_iter().map(|raw| open(&db, raw)).collect()
}

/// Replaces settings.
pub(super) fn update_settings(tx: &Tx<'_>, id: AccountId, settings: &AccountSettings) -> Result<()> {
    match tx.run("UPDATE account SET settings = ?2 WHERE id = ?1", (id.0, seal_settings(tx, settings)))? {
        0 => Err(StoreError::NoSuch("account")),
        _ => Ok(()),
    }
}

/// Removes an account and everything of it but what money needs: its gates without their parties, and the ledger.
pub(super) fn remove(tx: &mut Tx<'_>, id: AccountId, now: UnixMs) -> Result<Vec<String>> {
    if !tx.exists("SELECT 1 FROM account WHERE id = ?1", [id.0])? {
        return Err(StoreError::NoSuch("account"));
    }
    payments::close_account(tx, id, now)?;
    // What the gates' end touched goes as well.
    tx.touched.clear();
    desk::forget(tx, id)?;
    sharing::forget(tx, id)?;
    for table in ["entry", "vanished", "tombstone"] {
        tx.run(&format!("DELETE FROM {table} WHERE mailbox IN (SELECT id FROM mailbox WHERE account = ?1)"), [id.0])?;
    }
    let all = tx.all("SELECT id FROM message WHERE account = ?1", [id.0], |row| row.get(0).map(MessageId))?;
    all.into_iter().try_for_each(|message| messages::delete(tx, message))?;
    tx.run(
        "UPDATE gate SET parties = NULL, message_id_hash = NULL, digest_hash = NULL, voucher_author = NULL,
         voucher_domain = NULL, page = NULL
         WHERE account = ?1 AND refunding = 0",
        [id.0],
    )?;
    // Whoever still has money coming keeps the page that says so.
    tx.run("DELETE FROM page WHERE account = ?1 AND NOT EXISTS (SELECT 1 FROM gate g WHERE g.page = page.id)", [id.0])?;
    for table in [
        "agreements",
        "annotation",
        "mailbox",
        "subscription",
        "contact",
        "pass",
        "sent",
        "credential",
        "address",
        "alias",
        "asked",
    ] {
        tx.run(&format!("DELETE FROM {table} WHERE account = ?1"), [id.0])?;
    }
    tx.run("DELETE FROM account WHERE id = ?1", [id.0])?;
    tx.announce_list(id);
    messages::unpin(tx)
}

fn kind_name(kind: CredentialKind) -> &'static str {
    match kind {
        CredentialKind::Password => "password",
        CredentialKind::AppPassword => "app-password",
        CredentialKind::Recovery => "recovery",
        CredentialKind::Server => "server",
    }
}

fn kind_of(name: &str) -> Result<CredentialKind> {
    [CredentialKind::Password, CredentialKind::AppPassword, CredentialKind::Recovery, CredentialKind::Server]
        .into_iter()
        .find(|kind| kind_name(*kind) == name)
        .ok_or_else(|| unknown("kind of credential"))
}

/// Every credential of an account.
pub(super) fn credentials(db: Db<'_>, account: AccountId) -> Result<Vec<Credential>> {
    let rows = db.all(
        "SELECT id, kind, wrap_id, label, wrap, created_at FROM credential WHERE account = ?1 ORDER BY id",
        [account.0],
        |row| {
            Ok((
                row.get::<_, String>(1)?,
                row.get::<_, Vec<u8>>(3)?,
                Credential {
                    id: CredentialId(row.get(0)?),
                    account,
                    kind: CredentialKind::Password,
                    wrap_id: row.get(2)?,
                    label: String::new(),
                    wrap: row.get(4)?,
                    created_at: row.get(5)?,
                },
            ))
        },
    )?;
    rows.into_iter()
        .map(|(kind, label, credential)| {
            Ok(Credential { kind: kind_of(&kind)?, label: db.vault.open_text(Of::Label, &label)?, ..credential })
        })
        .collect()
}

/// Adds a wrap.
pub(super) fn add_credential(
    tx: &Tx<'_>,
    account: AccountId,
    new: &NewCredential,
    now: UnixMs,
) -> Result<CredentialId> {
    if !tx.exists("SELECT 1 FROM account WHERE id = ?1", [account.0])? {
        return Err(StoreError::NoSuch("account"));
    }
    let id = tx.insert(
        "INSERT INTO credential(account, kind, wrap_id, label, wrap, created_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        (account.0, kind_name(new.kind), &new.wrap_id, tx.vault.seal(Of::Label, new.label.as_bytes()), &new.wrap, now),
    )?;
    Ok(CredentialId(id))
}

/// Swaps all wraps of a kind for one.
pub(super) fn replace_credential(
    tx: &Tx<'_>,
    account: AccountId,
    new: &NewCredential,
    now: UnixMs,
) -> Result<CredentialId> {
    tx.run("DELETE FROM credential WHERE account = ?1 AND kind = ?2", (account.0, kind_name(new.kind)))?;
    add_credential(tx, account, new, now)
}

/// Deletes a wrap; never the last one.
pub(super) fn remove_credential(tx: &Tx<'_>, account: AccountId, id: CredentialId) -> Result<bool> {
    let gone = tx.run("DELETE FROM credential WHERE account = ?1 AND id = ?2", (account.0, id.0))? > 0;
    if gone && !tx.exists("SELECT 1 FROM credential WHERE account = ?1", [account.0])? {
        return Err(StoreError::Cannot("the last credential opens the mail; nobody could read it any more"));
    }
    Ok(gone)
}

/// What a recipient address stands for.
pub(super) fn resolve(db: Db<'_>, local: &str, domain: &str, now: UnixMs) -> Result<Resolution> {
    let Some((account, alias)) = at_address(&db, local, domain)? else { return Ok(Resolution::Unknown) };
    let Some(account) = get(db, account)? else { return Ok(Resolution::Unknown) };
    let Some(alias) = alias else { return Ok(Resolution::Account { account: Box::new(account), alias: None }) };
    let Some(alias) = aliases_where(&db, "id = ?1", [alias.0])?.pop() else { return Ok(Resolution::Unknown) };
    let over = alias.expires_at.is_some_and(|end| end <= now) || alias.max_uses.is_some_and(|max| alias.uses >= max);
    if over {
        return Ok(Resolution::AliasOver);
    }
    Ok(Resolution::Account { account: Box::new(account), alias: Some(alias) })
}

fn aliases_where(db: &Db<'_>, condition: &str, params: impl rusqlite::Params) -> Result<Vec<Alias>> {
    let rows = db.all(
        &format!("SELECT id, account, name, expires_at, max_uses, uses FROM alias WHERE {condition} ORDER BY id"),
        params,
        |row| {
            Ok((
                row.get::<_, Vec<u8>>(2)?,
                Alias {
                    id: AliasId(row.get(0)?),
                    account: AccountId(row.get(1)?),
                    local: String::new(),
                    domain: String::new(),
                    expires_at: row.get(3)?,
                    max_uses: row.get(4)?,
                    uses: row.get(5)?,
                },
            ))
        },
    )?;
    rows.into_iter()
        .map(|(name, alias)| {
            let (local, domain) = open_address(db, &name)?;
            Ok(Alias { local, domain, ..alias })
        })
        .collect()
}

/// All aliases, or one account's.
pub(super) fn aliases(db: Db<'_>, account: Option<AccountId>) -> Result<Vec<Alias>> {
    aliases_where(&db, "?1 IS NULL OR account = ?1", [account.map(|account| account.0)])
}

/// Adds an alias.
pub(super) fn add_alias(tx: &Tx<'_>, new: &NewAlias) -> Result<AliasId> {
    let hash = address_hash(tx, &new.local, &new.domain);
    if tx.exists("SELECT 1 FROM address WHERE address_hash = ?1", [hash])? {
        return Err(StoreError::Exists("address"));
    }
    if !tx.exists("SELECT 1 FROM account WHERE id = ?1", [new.account.0])? {
        return Err(StoreError::NoSuch("account"));
    }
    let id = tx.insert(
        "INSERT INTO alias(account, name, expires_at, max_uses) VALUES (?1, ?2, ?3, ?4)",
        (new.account.0, seal_address(tx, &new.local, &new.domain), new.expires_at, new.max_uses),
    )?;
    tx.run("INSERT INTO address(address_hash, account, alias) VALUES (?1, ?2, ?3)", (hash, new.account.0, id))?;
    Ok(AliasId(id))
}

/// Removes an alias; primary addresses stay.
pub(super) fn remove_alias(tx: &Tx<'_>, local: &str, domain: &str) -> Result<bool> {
    let Some((_, Some(alias))) = at_address(tx, local, domain)? else { return Ok(false) };
    tx.run("DELETE FROM address WHERE address_hash = ?1", [address_hash(tx, local, domain)])?;
    tx.run("DELETE FROM alias WHERE id = ?1", [alias.0])?;
    Ok(true)
}

/// One mail came through this alias.
pub(super) fn count_use(tx: &Tx<'_>, alias: AliasId) -> Result<()> {
    // Zero rows: it was removed since RCPT; the mail was promised and comes in.
    tx.run("UPDATE alias SET uses = uses + 1 WHERE id = ?1", [alias.0])?;
    Ok(())
}

/// Whether a look at Requests is worth noting: the last note is older than anybody cares.
pub(super) fn requests_seen_is_old(db: Db<'_>, account: AccountId, now: UnixMs) -> Result<bool> {
    let seen: Option<i64> = db.value("SELECT requests_seen_at FROM account WHERE id = ?1", [account.0])?;
    Ok(seen.ok_or(StoreError::NoSuch("account"))? < now - REQUESTS_SEEN_SECONDS * 1000)
}

/// A session looked at Requests.
pub(super) fn requests_seen(tx: &Tx<'_>, account: AccountId, now: UnixMs) -> Result<()> {
    tx.run("UPDATE account SET requests_seen_at = MAX(requests_seen_at, ?2) WHERE id = ?1", (account.0, now))?;
    Ok(())
}

/// A small named value.
pub(super) fn get_meta(db: Db<'_>, key: &str) -> Result<Option<Vec<u8>>> {
    let sealed: Option<Vec<u8>> =
        db.value("SELECT value FROM meta WHERE key_hash = ?1", [db.vault.hash(Of::Meta, &[key.as_bytes()])])?;
    sealed.map(|sealed| db.vault.open(Of::Meta, &sealed)).transpose()
}

/// Sets it.
pub(super) fn set_meta(tx: &Tx<'_>, key: &str, sealed: &[u8]) -> Result<()> {
    tx.run(
        "INSERT INTO meta(key_hash, value) VALUES (?1, ?2) ON CONFLICT(key_hash) DO UPDATE SET value = excluded.value",
        (tx.vault.hash(Of::Meta, &[key.as_bytes()]), sealed),
    )?;
    Ok(())
}
