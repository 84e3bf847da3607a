//! Addresses of several people: mail to one is delivered to each member, and each member may write as it.

use anyhow::bail;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use store::{Account, Resolution};

use crate::accounts;
use crate::command;
use crate::house::{House, now_ms};

/// The name of the list in the store, where it is encrypted at rest.
const META: &str = "groups";
/// Groups of a server. The list is in memory, and looked through for names that are nobody's.
const GROUPS_MAX: usize = 1000;
/// Members of a group: each is one more sealed message in the commit that `250` waits for.
const MEMBERS_MAX: usize = 100;

/// One such address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// In lower case.
    pub address: String,
    /// The addresses of accounts here.
    pub members: Vec<String>,
}

impl Group {
    /// Whether an account belongs to it.
    pub fn has(&self, account: &Account) -> bool {
        self.members.contains(&account.address())
    }
}

/// Reads the list into the house; before any door opens.
pub async fn load(house: &House) -> anyhow::Result<()> {
    if let Some(text) = house.store.get_meta(META).await? {
        house.set_groups(serde_json::from_slice(&text)?);
    }
    Ok(())
}

/// The group of this address (in lower case).
pub fn find(house: &House, address: &str) -> Option<Group> {
    house.groups().iter().find(|group| group.address == address).cloned()
}

/// The accounts of a group's members, without those that are gone.
pub async fn members(house: &House, group: &Group) -> Result<Vec<Account>, store::StoreError> {
    let mut accounts = Vec::with_capacity(group.members.len());
    for (local, domain) in group.members.iter().filter_map(|member| member.rsplit_once('@')) {
        accounts.extend(house.store.account_by_address(local, domain).await?);
    }
    Ok(accounts)
}

/// `group add`: a new group, or further members.
pub async fn add(house: &House, address: &str, members: &[String]) -> anyhow::Result<Value> {
    let _choosing = house.choosing.lock().await;
    let (local, domain) = command::local_address(house, address)?;
    if local.contains(['+', '#']) || matches!(local.as_str(), "postmaster" | "abuse") {
        bail!(
            "{address} cannot be a group; a group's name has no + or #, and postmaster and abuse are somebody's already"
        );
    }
    if !matches!(house.store.resolve(&local, &domain, now_ms()).await?, Resolution::Unknown) {
        bail!("{address} is an account or an alias; a group needs an address of its own");
    }
    let mut groups = house.groups().to_vec();
    let address = format!("{local}@{domain}");
    let at = match groups.iter().position(|group| group.address == address) {
        Some(at) => at,
        None if groups.len() >= GROUPS_MAX => bail!("there are {GROUPS_MAX} groups at most"),
        None => {
            groups.push(Group { address, members: Vec::new() });
            groups.len() - 1
        }
    };
    for member in members {
        let Some(account) = accounts::find(house, member).await? else {
            bail!("{member} is no account here; only accounts can be members");
        };
        if !groups[at].has(&account) {
            groups[at].members.push(account.address());
        }
    }
    if groups[at].members.len() > MEMBERS_MAX {
        bail!("a group has at most {MEMBERS_MAX} members");
    }
    let shown = json!(groups[at]);
    keep(house, groups).await?;
    Ok(shown)
}

/// `group remove`: the group, or some members; one without members is none.
pub async fn remove(house: &House, address: &str, members: &[String]) -> anyhow::Result<Value> {
    let _choosing = house.choosing.lock().await;
    let address = address.to_lowercase();
    let mut groups = house.groups().to_vec();
    let Some(at) = groups.iter().position(|group| group.address == address) else {
        bail!("there is no group {address}; `satchel group list` shows them");
    };
    for member in members {
        let before = groups[at].members.len();
        groups[at].members.retain(|one| !one.eq_ignore_ascii_case(member));
        if groups[at].members.len() == before {
            bail!("{member} is no member of {address}");
        }
    }
    if members.is_empty() {
        groups[at].members.clear();
    }
    let left = groups[at].members.clone();
    groups.retain(|group| !group.members.is_empty());
    keep(house, groups).await?;
    Ok(json!({ "address": address, "members": left, "removed": left.is_empty() }))
}

/// `group list`.
pub fn list(house: &House) -> Value {
    json!(*house.groups())
}

/// An address that is to be somebody's must not be a group's.
pub fn refuse_taken(house: &House, address: &str) -> anyhow::Result<()> {
    match find(house, &address.to_lowercase()) {
        Some(_) => bail!("{address} is a group; remove that first: `satchel group remove {address}`"),
        None => Ok(()),
    }
}

/// An account is gone: whoever gets its address later is no member.
pub async fn forget(house: &House, account: &Account) -> anyhow::Result<()> {
    let _choosing = house.choosing.lock().await;
    let mut groups = house.groups().to_vec();
    if !groups.iter().any(|group| group.has(account)) {
        return Ok(());
    }
    for group in &mut groups {
        group.members.retain(|member| *member != account.address());
    }
    groups.retain(|group| !group.members.is_empty());
    keep(house, groups).await
}

async fn keep(house: &House, groups: Vec<Group>) -> anyhow::Result<()> {
    house.store.set_meta(META, &serde_json::to_vec(&groups)?).await?;
    house.set_groups(groups);
    Ok(())
}
