//! Mixed verdicts: what each combination of checks makes of an author, and whether anybody may be asked for money
//! (design section 2, "Who is asked for money").

use std::sync::Arc;

use lnmp::Relation::{self, Friend, Unverified};
use smtp::{AuthResult, Authentication, DkimOutcome, DmarcOutcome, DmarcPolicy, Recipient, SpfOutcome};
use store::{Account, AccountId, AccountSettings, Standing};

use super::{Addressed, provenance};
use crate::flow::judge;

/// SPF of the reverse-path's domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Spf {
    /// It passes and aligns.
    Aligned,
    /// It passes for another domain.
    Other,
    /// It passes and aligns, because the record lets everybody in.
    PlusAll,
    Fails,
}

/// The signature of the mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dkim {
    None,
    /// It passes, aligns, and covers From and To.
    Good,
    /// The same, but for this.
    WithLength,
    Testing,
    Expired,
    Sha1,
    /// It passes and aligns; To is not signed.
    ToUnsigned,
    /// It passes for another domain.
    Other,
    Broken,
}

/// One combination.
struct Case {
    spf: Spf,
    dkim: Dkim,
    arc: AuthResult,
    reverse_path: &'static str,
    /// Header fields in front of To, Subject and the rest.
    head: &'static str,
}

const BOB: &str = "bob@shop.test";
const FROM: &str = "From: <bob@shop.test>\r\n";
const PLAIN: Case = Case { spf: Spf::Aligned, dkim: Dkim::Good, arc: AuthResult::None, reverse_path: BOB, head: FROM };

/// What is documented: the relation of an author who is stored as a friend, and whether they are asked.
#[test]
fn each_combination_of_verdicts_has_its_relation_and_its_answer() {
    use Dkim::{Broken, Expired, Good, None as Unsigned, Other as OtherDkim, Sha1, Testing, ToUnsigned, WithLength};
    use Spf::{Aligned, Fails, Other, PlusAll};
    let spf_dkim = |spf, dkim| Case { spf, dkim, ..PLAIN };
    let head = |head| Case { head, ..PLAIN };
    let table: Vec<(Case, Relation, bool)> = vec![
        // Both, either, none.
        (PLAIN, Friend, true),
        (spf_dkim(Aligned, Unsigned), Friend, true),
        (spf_dkim(Fails, Good), Friend, true),
        (spf_dkim(Other, Good), Friend, true),
        (spf_dkim(Fails, Unsigned), Unverified, false),
        (spf_dkim(Other, Unsigned), Unverified, false),
        (spf_dkim(Other, OtherDkim), Unverified, false),
        (spf_dkim(Fails, Broken), Unverified, false),
        (spf_dkim(Aligned, Broken), Friend, true),
        (spf_dkim(Aligned, OtherDkim), Friend, true),
        // A signature that proves little, alone and beside SPF.
        (spf_dkim(Fails, WithLength), Unverified, false),
        (spf_dkim(Fails, Testing), Unverified, false),
        (spf_dkim(Fails, Expired), Unverified, false),
        (spf_dkim(Fails, Sha1), Unverified, false),
        (spf_dkim(Aligned, WithLength), Friend, true),
        (spf_dkim(Aligned, Testing), Friend, true),
        // A signed mail could be replayed: To has to be signed, unless SPF stands beside it.
        (spf_dkim(Fails, ToUnsigned), Friend, false),
        (spf_dkim(Aligned, ToUnsigned), Friend, true),
        // A record that lets everybody in.
        (spf_dkim(PlusAll, Unsigned), Unverified, false),
        (spf_dkim(PlusAll, Good), Friend, true),
        (spf_dkim(PlusAll, ToUnsigned), Friend, false),
        // By SPF alone, From is the reverse-path, or nobody is asked.
        (Case { reverse_path: "bounce@shop.test", ..spf_dkim(Aligned, Unsigned) }, Friend, false),
        (Case { reverse_path: "bounce@shop.test", ..PLAIN }, Friend, true),
        (Case { reverse_path: "BOB@Shop.test", ..spf_dkim(Aligned, Unsigned) }, Friend, true),
        // The null sender, lists, programs: never.
        (Case { reverse_path: "", ..PLAIN }, Friend, false),
        (Case { reverse_path: "", ..spf_dkim(Fails, Good) }, Friend, false),
        (head("List-Id: <all.shop.test>\r\nFrom: <bob@shop.test>\r\n"), Friend, false),
        (head("Precedence: list\r\nFrom: <bob@shop.test>\r\n"), Friend, false),
        (head("Precedence: bulk\r\nFrom: <bob@shop.test>\r\n"), Friend, false),
        (head("Auto-Submitted: auto-generated\r\nFrom: <bob@shop.test>\r\n"), Friend, false),
        (head("Auto-Submitted: no\r\nFrom: <bob@shop.test>\r\n"), Friend, true),
        (head("Resent-From: <x@shop.test>\r\nFrom: <bob@shop.test>\r\n"), Friend, false),
        (head("From: <mailer-daemon@shop.test>\r\n"), Friend, false),
        (Case { reverse_path: "all-request@shop.test", ..PLAIN }, Friend, false),
        // Not one From.
        (head(""), Unverified, false),
        (head("From: <bob@shop.test>, <al@shop.test>\r\n"), Unverified, false),
        (head("From: <bob@shop.test>\r\nFrom: <al@shop.test>\r\n"), Unverified, false),
        (head("From: nobody\r\n"), Unverified, false),
        // ARC vouches for nobody here, and its failure accuses nobody.
        (Case { arc: AuthResult::Pass, ..spf_dkim(Fails, Broken) }, Unverified, false),
        (Case { arc: AuthResult::Pass, ..spf_dkim(Other, Unsigned) }, Unverified, false),
        (Case { arc: AuthResult::Fail, ..PLAIN }, Friend, true),
        (Case { arc: AuthResult::TempError, ..PLAIN }, Friend, true),
    ];
    for (number, (case, relation, is_asked)) in table.into_iter().enumerate() {
        let message = format!("{}To: <alice@satchel.test>\r\nSubject: x\r\n\r\nx\r\n", case.head);
        let facts = converter::facts(message.as_bytes());
        let found = provenance(&checked(&case), &facts, case.reverse_path, &[alice()]);
        let standing = Standing { relation: Some(Friend), ..Standing::default() };
        let what =
            format!("{number}: {:?} {:?} {:?} <{}> {:?}", case.spf, case.dkim, case.arc, case.reverse_path, case.head);
        assert_eq!(judge::relation(&found, &standing), relation, "{what}");
        assert_eq!(found.ask.is_some(), is_asked, "{what}: {found:?}");
        assert!(found.ask.is_none() || found.ask == found.author, "the From address and nobody else: {what}");
        // Evidence is for those whom nothing verifies, and never for a mail without an author.
        assert!(found.evidence.is_none() || relation == Unverified, "{what}");
        if found.ask.is_some() && case.dkim == Good {
            assert_eq!(found.dkim_signature.as_deref(), Some(&[7; 32][..]), "one request for one signature: {what}");
        }
    }
}

fn alice() -> Recipient {
    let account = Account {
        id: AccountId(1),
        local: "alice".into(),
        domain: "satchel.test".into(),
        identity: [0; 32],
        sealed_seed: Vec::new(),
        settings: AccountSettings::default(),
        created_at: 0,
        sent_append_at: None,
    };
    let addressed = Addressed { account, alias: None, address: "alice@satchel.test".into(), free: false, group: None };
    Recipient::local("alice@satchel.test", 1).with_context(Arc::new(addressed))
}

/// What the authenticator says of such a mail; how it comes to that is tested where it is.
fn checked(case: &Case) -> Authentication {
    let spf = match case.spf {
        Spf::Aligned => (AuthResult::Pass, "shop.test", false),
        Spf::Other => (AuthResult::Pass, "other.test", false),
        Spf::PlusAll => (AuthResult::Pass, "shop.test", true),
        Spf::Fails => (AuthResult::Fail, "shop.test", false),
    };
    let signature = DkimOutcome {
        result: match case.dkim {
            Dkim::Expired => AuthResult::Neutral,
            Dkim::Broken => AuthResult::Fail,
            _ => AuthResult::Pass,
        },
        domain: if case.dkim == Dkim::Other { "other.test" } else { "shop.test" }.into(),
        selector: "s".into(),
        signed_headers: if case.dkim == Dkim::ToUnsigned {
            vec!["From".into()]
        } else {
            vec!["From".into(), "To".into()]
        },
        has_l: case.dkim == Dkim::WithLength,
        testing: case.dkim == Dkim::Testing,
        expired: case.dkim == Dkim::Expired,
        sha1: case.dkim == Dkim::Sha1,
        signature_hash: [7; 32],
    };
    Authentication {
        spf: SpfOutcome { result: spf.0, domain: spf.1.into(), is_plus_all: spf.2 },
        aligned_spf: matches!(case.spf, Spf::Aligned | Spf::PlusAll),
        aligned_dkim: matches!(case.dkim, Dkim::Good | Dkim::ToUnsigned),
        dkim: if case.dkim == Dkim::None { Vec::new() } else { vec![signature] },
        arc: case.arc,
        dmarc: DmarcOutcome { result: AuthResult::None, policy: DmarcPolicy::None, domain: "shop.test".into() },
        host: None,
        from: vec![BOB.into()],
        header_value: String::new(),
        received_count: 0,
    }
}
