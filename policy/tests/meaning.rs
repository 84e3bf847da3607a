//! The table of design section 3, cell by cell.

use GateState::{Declined, Held, Lost, Settled, Settling, Waiting, Waived};
use Place::{Archive, Drafts, Inbox, Junk, Own, Requests, Sent, Trash, Unpaid};
use Verdict::{ArmAccept, ArmDecline, ArmDemotion, Decline, Demote, LetIn, Nothing, Restore, TimeOut};
use lnmp::{AcceptOn, Act, GateFacts, GateState, Place, Relation, Verdict};
use policy::{meaning, meaning_without_gate};

const ACCEPT: Verdict = Verdict::Accept { raise: Relation::Acquaintance };
const BEFRIEND: Verdict = Verdict::Accept { raise: Relation::Friend };
const ALL: [Place; 9] = [Inbox, Requests, Unpaid, Sent, Drafts, Archive, Junk, Trash, Own];
const KEEPING: [Place; 5] = [Inbox, Archive, Own, Sent, Drafts];

fn in_state(state: GateState) -> GateFacts {
    GateFacts {
        state,
        priority: false,
        decline_armed: false,
        seen: false,
        accept_on: AcceptOn::Move,
        awaits_mail: false,
    }
}

fn priority() -> GateFacts {
    GateFacts { priority: true, ..in_state(Held) }
}

fn armed(facts: GateFacts) -> GateFacts {
    GateFacts { decline_armed: true, ..facts }
}

fn seen(facts: GateFacts) -> GateFacts {
    GateFacts { seen: true, ..facts }
}

fn accept_on(accept_on: AcceptOn) -> GateFacts {
    GateFacts { accept_on, ..in_state(Held) }
}

fn moved(from: Place, to: Place) -> Act {
    Act::Moved { from, to }
}

fn again(to: Place) -> Act {
    Act::AppendedAgain { to }
}

fn expunged(from: Place, seen: bool) -> Act {
    Act::Expunged { from, seen }
}

fn grace(lies: impl Into<Option<Place>>) -> Act {
    Act::GraceOver { lies: lies.into() }
}

fn check(table: &[(&str, GateFacts, Act, Verdict)]) {
    for (row, facts, act, verdict) in table {
        assert_eq!(meaning(act, facts), *verdict, "{row}: {act:?} under {facts:?}");
    }
}

#[test]
fn a_held_mail_in_requests() {
    let held = in_state(Held);
    check(&[
        ("Requests -> INBOX accepts", held, moved(Requests, Inbox), ACCEPT),
        ("Requests -> Archive accepts", held, moved(Requests, Archive), ACCEPT),
        ("Requests -> an own folder accepts", held, moved(Requests, Own), ACCEPT),
        ("Requests -> Sent keeps it too", held, moved(Requests, Sent), ACCEPT),
        ("Requests -> Drafts keeps it too", held, moved(Requests, Drafts), ACCEPT),
        ("a reply accepts, and makes a friend", held, Act::Replied, BEFRIEND),
        ("$Accepted accepts", held, Act::MarkedAccepted, ACCEPT),
        ("Requests -> Junk declines at once", held, moved(Requests, Junk), Decline),
        ("Requests -> Trash declines at once", held, moved(Requests, Trash), Decline),
        ("$Declined declines at once", held, Act::MarkedDeclined, Decline),
        ("read or not, Trash declines", seen(held), moved(Requests, Trash), Decline),
        ("expunge arms a decline", held, expunged(Requests, false), ArmDecline),
        ("a read one's too", held, expunged(Requests, true), ArmDecline),
        ("nothing until the hold ends refunds", held, Act::HoldEnded { seen: false }, TimeOut),
        ("read or not", held, Act::HoldEnded { seen: true }, TimeOut),
        ("reading decides nothing", held, Act::Read, Nothing),
        ("a copy beside it decides nothing", held, moved(Requests, Requests), Nothing),
        ("back to Unpaid decides nothing", held, moved(Requests, Unpaid), Nothing),
        ("a grace that was never armed decides nothing", held, grace(None), Nothing),
    ]);
}

#[test]
fn an_expunge_in_requests_is_contradicted_within_the_grace() {
    let held = armed(in_state(Held));
    for to in KEEPING {
        check(&[
            ("COPY after the expunge accepts", held, moved(Requests, to), ACCEPT),
            ("APPEND after the expunge accepts", held, again(to), ACCEPT),
            ("APPEND before it accepts as well", in_state(Held), again(to), ACCEPT),
            ("after the decline it is a free let-in", in_state(Declined), again(to), Restore),
            ("and before any payment too", in_state(Waiting), again(to), LetIn),
            ("after the refund too", in_state(Waiting), moved(Requests, to), LetIn),
        ]);
    }
    check(&[
        ("APPEND to Junk declines", held, again(Junk), Decline),
        ("APPEND to Trash declines", held, again(Trash), Decline),
        ("nothing came: declined", held, grace(None), Decline),
        ("it lies in Trash: declined", held, grace(Trash), Decline),
        ("it lies in Junk: declined", held, grace(Junk), Decline),
        ("it came back to Requests: still held", held, again(Requests), Nothing),
        ("and the grace leaves it there", held, grace(Requests), Nothing),
        ("$Accepted within the grace accepts", held, Act::MarkedAccepted, ACCEPT),
        ("a reply within the grace accepts", held, Act::Replied, BEFRIEND),
        ("the hold ends first: declined, not put back", held, Act::HoldEnded { seen: false }, Decline),
    ]);
}

#[test]
fn a_waiting_mail() {
    let waiting = in_state(Waiting);
    for to in ALL {
        let expected = if to.refuses() || to == Unpaid { Nothing } else { LetIn };
        check(&[("Unpaid -> anywhere but Junk and Trash lets in free", waiting, moved(Unpaid, to), expected)]);
    }
    check(&[
        ("$Accepted after the refund is a free let-in", waiting, Act::MarkedAccepted, LetIn),
        ("a reply too", waiting, Act::Replied, LetIn),
        ("out of Junk, where an unpaid one was put", waiting, moved(Junk, Inbox), LetIn),
        ("out of Trash", waiting, moved(Trash, Own), LetIn),
        ("out of Trash back to Unpaid: only undone", waiting, moved(Trash, Unpaid), Nothing),
        ("there is nothing to decline", waiting, Act::MarkedDeclined, Nothing),
        ("reading decides nothing", waiting, Act::Read, Nothing),
        ("nor with accept_on read", GateFacts { accept_on: AcceptOn::Read, ..waiting }, Act::Read, Nothing),
        ("expunge decides nothing", waiting, expunged(Unpaid, true), Nothing),
        ("no hold can end", waiting, Act::HoldEnded { seen: true }, Nothing),
        ("Junk -> Trash decides nothing", waiting, moved(Junk, Trash), Nothing),
        ("a timed-out priority mail: INBOX -> Junk speaks of the author", waiting, moved(Inbox, Junk), ArmDemotion),
        ("a timed-out priority mail kept elsewhere is let in", waiting, moved(Inbox, Archive), LetIn),
    ]);
}

#[test]
fn a_held_priority_mail_in_inbox() {
    let held = priority();
    check(&[
        ("a reply accepts", held, Act::Replied, BEFRIEND),
        ("$Accepted accepts", held, Act::MarkedAccepted, ACCEPT),
        ("a move to Archive accepts", held, moved(Inbox, Archive), ACCEPT),
        ("a move to an own folder accepts", held, moved(Inbox, Own), ACCEPT),
        ("Junk declines", held, moved(Inbox, Junk), Decline),
        ("Junk declines a read one too", seen(held), moved(Inbox, Junk), Decline),
        ("$Declined declines", held, Act::MarkedDeclined, Decline),
        ("Trash accepts a read one", seen(held), moved(Inbox, Trash), ACCEPT),
        ("Trash declines an unread one after the grace", held, moved(Inbox, Trash), ArmDecline),
        ("expunge accepts a read one, if it does not reappear", held, expunged(Inbox, true), ArmAccept),
        ("expunge declines an unread one after the grace", held, expunged(Inbox, false), ArmDecline),
        ("the hold ends: a read one is accepted", held, Act::HoldEnded { seen: true }, ACCEPT),
        ("the hold ends: an unread one is refunded", held, Act::HoldEnded { seen: false }, TimeOut),
        ("reading decides nothing", held, Act::Read, Nothing),
        ("a copy within INBOX decides nothing", held, moved(Inbox, Inbox), Nothing),
        ("to Requests decides nothing", held, moved(Inbox, Requests), Nothing),
        ("to Unpaid decides nothing", held, moved(Inbox, Unpaid), Nothing),
        ("the grace of a read, expunged one is over", held, grace(None), ACCEPT),
        ("it reappeared in INBOX", held, grace(Inbox), Nothing),
        ("a let-in queued offline, though it lies in INBOX now", held, moved(Unpaid, Inbox), ACCEPT),
        ("APPENDed again to INBOX: it reappeared", held, again(Inbox), Nothing),
        ("APPENDed again to Archive: moved", held, again(Archive), ACCEPT),
    ]);
    let armed = armed(held);
    check(&[
        ("taken out of Trash within the grace", armed, moved(Trash, Inbox), ACCEPT),
        ("taken out of Trash into Archive", armed, moved(Trash, Archive), ACCEPT),
        ("APPENDed again within the grace", armed, again(Inbox), ACCEPT),
        ("nothing came: declined", armed, grace(None), Decline),
        ("it lies in Trash: declined", armed, grace(Trash), Decline),
        ("Trash emptied meanwhile: the grace runs on", armed, expunged(Trash, true), Nothing),
        ("the hold ends first", armed, Act::HoldEnded { seen: true }, Decline),
    ]);
}

#[test]
fn accept_on_widens_what_accepts() {
    check(&[
        ("move: reading decides nothing", accept_on(AcceptOn::Move), Act::Read, Nothing),
        ("read: reading accepts", accept_on(AcceptOn::Read), Act::Read, ACCEPT),
        ("delivery: reading accepts, had the payment not", accept_on(AcceptOn::Delivery), Act::Read, ACCEPT),
        ("read: a move still accepts", accept_on(AcceptOn::Read), moved(Requests, Inbox), ACCEPT),
        ("read: Junk still declines", accept_on(AcceptOn::Read), moved(Requests, Junk), Decline),
        ("delivery: the payment is marked accepted", accept_on(AcceptOn::Delivery), Act::MarkedAccepted, ACCEPT),
        ("read, in INBOX", GateFacts { accept_on: AcceptOn::Read, ..priority() }, Act::Read, ACCEPT),
    ]);
}

#[test]
fn offline_users_decide_too() {
    check(&[
        ("a queued let-in that arrives when held is an accept", in_state(Held), moved(Unpaid, Inbox), ACCEPT),
        ("into an own folder too", in_state(Held), moved(Unpaid, Own), ACCEPT),
        ("a queued refusal declines", in_state(Held), moved(Unpaid, Trash), Decline),
        ("an accept that arrives after the refund is a free let-in", in_state(Waiting), moved(Requests, Inbox), LetIn),
        (
            "a decline that arrives after the refund has nothing to do",
            in_state(Waiting),
            moved(Requests, Junk),
            Nothing,
        ),
        ("an expunge of what moved on decides nothing", in_state(Held), expunged(Unpaid, false), Nothing),
        ("Unpaid -> Requests, where it is now", in_state(Held), moved(Unpaid, Requests), Nothing),
    ]);
}

#[test]
fn a_refused_mail_can_be_taken_back() {
    let declined = in_state(Declined);
    for from in [Junk, Trash] {
        for to in ALL {
            let expected = if to.refuses() { Nothing } else { Restore };
            check(&[("Junk or Trash -> elsewhere after a decline restores", declined, moved(from, to), expected)]);
        }
    }
    check(&[
        ("declined by $Declined, then kept after all", declined, moved(Requests, Inbox), Restore),
        ("declined in INBOX, then filed: nothing", declined, moved(Inbox, Archive), Nothing),
        ("declined in INBOX, then junked: the author", declined, moved(Inbox, Junk), ArmDemotion),
        ("$Accepted after the decline comes too late", declined, Act::MarkedAccepted, Nothing),
        ("a late hold end changes nothing", declined, Act::HoldEnded { seen: false }, Nothing),
        ("a late grace changes nothing", declined, grace(None), Nothing),
    ]);
}

#[test]
fn the_first_irrevocable_decision_wins() {
    let acts = [
        moved(Requests, Inbox),
        moved(Requests, Junk),
        moved(Requests, Trash),
        moved(Unpaid, Inbox),
        moved(Inbox, Trash),
        moved(Junk, Inbox),
        moved(Inbox, Archive),
        again(Inbox),
        expunged(Requests, false),
        expunged(Inbox, true),
        Act::MarkedAccepted,
        Act::MarkedDeclined,
        Act::Read,
        Act::Replied,
        grace(None),
        grace(Trash),
        Act::HoldEnded { seen: true },
        Act::HoldEnded { seen: false },
    ];
    for state in [Settling, Settled, Lost, Waived] {
        for act in acts {
            for facts in [in_state(state), GateFacts { priority: true, seen: true, ..in_state(state) }] {
                assert_eq!(meaning(&act, &facts), Nothing, "{act:?} under {facts:?}");
            }
        }
        check(&[
            ("INBOX -> Junk arms the author's step down", in_state(state), moved(Inbox, Junk), ArmDemotion),
            ("ten minutes later it is still there", in_state(state), grace(Junk), Demote),
            ("or it is not", in_state(state), grace(Inbox), Nothing),
        ]);
    }
}

#[test]
fn junk_speaks_of_the_author_of_a_mail_without_a_gate() {
    let table = [
        (moved(Inbox, Junk), ArmDemotion),
        (grace(Junk), Demote),
        (grace(Inbox), Nothing),
        (grace(None), Nothing),
        (moved(Junk, Inbox), Restore),
        (moved(Junk, Own), Restore),
        (moved(Junk, Trash), Nothing),
        (moved(Trash, Inbox), Nothing),
        (moved(Inbox, Trash), Nothing),
        (moved(Archive, Junk), Nothing),
        (moved(Inbox, Archive), Nothing),
        (expunged(Inbox, false), Nothing),
        (again(Inbox), Nothing),
        (Act::MarkedAccepted, Nothing),
        (Act::MarkedDeclined, Nothing),
        (Act::Read, Nothing),
        (Act::Replied, Nothing),
        (Act::HoldEnded { seen: true }, Nothing),
    ];
    for (act, verdict) in table {
        assert_eq!(meaning_without_gate(&act), verdict, "{act:?}");
    }
}

#[test]
fn what_was_paid_before_its_mail_came_is_not_accepted_and_goes_home_in_time() {
    for priority in [false, true] {
        let held = GateFacts { awaits_mail: true, priority, accept_on: AcceptOn::Delivery, ..in_state(Held) };
        check(&[
            ("no mail came", held, Act::HoldEnded { seen: false }, TimeOut),
            ("its owner gives it back", held, Act::MarkedDeclined, Decline),
            ("there is nothing to accept", held, Act::MarkedAccepted, Nothing),
            ("nor to answer", held, Act::Replied, Nothing),
            ("nor to move", held, moved(Requests, Inbox), Nothing),
        ]);
    }
    let waiting = GateFacts { awaits_mail: true, ..in_state(Waiting) };
    check(&[("nobody paid", waiting, Act::MarkedAccepted, Nothing), ("nor answered", waiting, Act::Replied, Nothing)]);
}

/// Whatever happens, a verdict is one the gate's state can carry out.
#[test]
fn no_verdict_asks_for_a_move_the_gate_cannot_make() {
    let mut acts = vec![Act::MarkedAccepted, Act::MarkedDeclined, Act::Read, Act::Replied];
    acts.extend(ALL.iter().flat_map(|&from| ALL.iter().map(move |&to| moved(from, to))));
    acts.extend(ALL.map(again));
    acts.extend(ALL.iter().flat_map(|&from| [expunged(from, true), expunged(from, false)]));
    acts.extend(ALL.map(grace));
    acts.extend([grace(None), Act::HoldEnded { seen: true }, Act::HoldEnded { seen: false }]);
    let bools = [true, false];
    for state in GateState::ALL {
        for (priority, decline_armed) in bools.iter().flat_map(|&a| bools.map(|b| (a, b))) {
            for (seen, accept_on) in bools.iter().flat_map(|&s| [AcceptOn::Move, AcceptOn::Read].map(|a| (s, a))) {
                let awaits_mail = seen && decline_armed;
                let facts = GateFacts { state, priority, decline_armed, seen, accept_on, awaits_mail };
                for act in &acts {
                    let next = match meaning(act, &facts) {
                        Verdict::Accept { .. } => Some(Settling),
                        Decline => Some(Declined),
                        LetIn => Some(Waived),
                        TimeOut => Some(Waiting),
                        ArmDecline | ArmAccept => {
                            assert_eq!(state, Held, "{act:?}");
                            None
                        }
                        Restore => {
                            assert_eq!(state, Declined, "{act:?}");
                            None
                        }
                        Nothing | ArmDemotion | Demote => None,
                    };
                    assert!(next.is_none_or(|next| state.may_become(next)), "{act:?} under {facts:?}");
                }
            }
        }
    }
}
