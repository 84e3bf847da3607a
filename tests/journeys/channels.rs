//! The operator's channels: opened, planned with, closed both ways, and the books after each.

use serde_json::Value;

use crate::support::eventually;
use crate::support::satchel::Satchel;

impl Satchel {
    fn channels(&self) -> Vec<Value> {
        self.ask(&["channel", "list"]).as_array().unwrap().clone()
    }

    /// What a command refuses with.
    fn refusal(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments:?} {}", String::from_utf8_lossy(&output.stdout));
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    /// Waits until ledger and node agree to the millisatoshi, with a block for every look; what channels cost so far.
    fn books_agree(&self) -> i64 {
        eventually("ledger and node agree", || {
            self.ask(&["sandbox", "mine", "1"]);
            let audit = self.ask(&["wallet", "audit"]);
            assert_eq!(audit["ok"], true, "{audit}");
            let is_same = audit["ledger_node_msat"] == audit["node_msat"] && audit["moving_msat"] == 0;
            is_same.then_some(())
        });
        let rows = self.ask(&["wallet", "statement"]);
        let chain = rows.as_array().unwrap().iter().filter(|row| row["account"] == "chain");
        chain.map(|row| row["change_msat"].as_i64().unwrap()).sum()
    }

    /// Waits until so many channels are usable.
    fn usable(&self, count: usize) -> Vec<Value> {
        eventually("the channels are usable", || {
            self.ask(&["sandbox", "mine", "1"]);
            let channels = self.channels();
            let usable = channels.iter().filter(|channel| channel["state"] == "usable").count();
            (usable == count && channels.len() == count).then_some(channels)
        })
    }
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap()
}

#[test]
fn channels_open_and_close_and_the_books_stay_right() {
    let mut satchel = Satchel::start("");
    let first = satchel.usable(1).remove(0);
    assert_eq!(first["opened_by_us"], false);
    let plan = satchel.ask(&["channel", "plan"]);
    let strangers = plan["prices"].as_array().unwrap().iter().find(|price| price["price_msat"] == 100_000).unwrap();
    assert_eq!((&strangers["mails"], &strangers["limit"]), (&30.into(), &"slots".into()), "{plan}");
    assert_eq!(satchel.books_agree(), 0);

    // The customer is connected already, whatever address is named.
    let peer = format!("{}@127.0.0.1:9", text(&first, "peer"));
    let open = |capacity| ["channel", "open", &peer, "--capacity-sat", capacity, "--push-sat", "100000"];
    let refused = satchel.refusal(&["channel", "open", "nobody", "--capacity-sat", "500000"]);
    assert!(refused.contains("NODE@HOST:PORT"), "{refused}");
    let refused = satchel.refusal(&open("9990000"));
    assert!(refused.contains("10000000 sat") || refused.contains("9975000 sat"), "the sums are named: {refused}");
    satchel.ask(&open("500000"));
    satchel.assert_audit();
    let channels = satchel.usable(2);
    let ours = channels.iter().find(|channel| channel["opened_by_us"] == true).unwrap();
    assert_eq!((&ours["capacity_msat"], &ours["ours_msat"]), (&500_000_000.into(), &400_000_000.into()));
    let opened = satchel.books_agree();
    assert!((1..1_000_000).contains(&opened), "the funding's fee: {opened}");
    let plan = satchel.ask(&["channel", "plan"]);
    assert_eq!(plan["hold_slots_free"], 60, "{plan}");
    let words = satchel.plain_command(&["channel", "plan"]).output().unwrap();
    let words = String::from_utf8(words.stdout).unwrap();
    assert!(words.contains("You can hold 60 mails of 100 sat now"), "{words}");

    let id = text(ours, "id");
    let fees = satchel.ask(&["channel", "fees", &id[..8], "--base-msat", "5", "--ppm", "7"]);
    assert_eq!((&fees["fee_base_msat"], &fees["fee_ppm"]), (&5.into(), &7.into()));
    let file = satchel.path().with_extension("channels");
    satchel.ask(&["channel", "backup", file.to_str().unwrap()]);
    assert!(std::fs::read(&file).unwrap().starts_with(b"satchel-channels/1\n"));
    let kept = satchel.path().join("channels.backup");
    assert!(kept.exists(), "written by itself");
    let found = satchel.ask(&["channel", "recover", file.to_str().unwrap()]);
    assert_eq!((&found["lost_channels"], &found["swept_msat"]), (&0.into(), &0.into()));
    std::fs::remove_file(&file).unwrap();

    // By agreement.
    satchel.ask(&["channel", "close", id]);
    satchel.assert_audit();
    satchel.usable(1);
    let closed = satchel.books_agree();
    assert!((opened..opened + 2_000_000).contains(&closed), "{opened}, then {closed}");

    // While something is held over a channel, it stays; and without --yes nothing is forced.
    satchel.stranger_pays("bob@shop.test", "Held");
    let holding = satchel.channels().into_iter().find(|channel| channel["held_msat"] == 100_000).unwrap();
    let refused = satchel.refusal(&["channel", "close", text(&holding, "id")]);
    assert!(refused.contains("until height"), "{refused}");
    let refused = satchel.refusal(&["channel", "close", text(&holding, "id"), "--force"]);
    assert!(refused.contains("144 blocks") && refused.contains("--yes"), "{refused}");
    let gate = satchel.gate_of("bob@shop.test").unwrap();
    satchel.ask(&["gate", "accept", &gate["id"].to_string()]);
    satchel.wait_for_state("bob@shop.test", "settled");

    // By force, over a restart.
    satchel.ask(&open("300000"));
    let channels = satchel.usable(2);
    let ours = channels.iter().find(|channel| channel["opened_by_us"] == true).unwrap();
    let opened = satchel.books_agree();
    let gone = satchel.ask(&["channel", "close", text(ours, "id"), "--force", "--yes"]);
    assert_eq!(gone["away_blocks"], 144, "{gone}");
    satchel.assert_audit();
    satchel.ask(&["sandbox", "mine", "2"]);
    let leaving = satchel.channels().into_iter().find(|channel| channel["state"] == "closed").unwrap();
    assert!(leaving["until_height"].is_number() && leaving["ours_msat"].as_u64().unwrap() < 200_000_000, "{leaving}");
    satchel.stop();
    satchel.resume();
    satchel.assert_audit();
    satchel.ask(&["sandbox", "mine", "145"]);
    eventually("the sweep", || {
        satchel.ask(&["sandbox", "mine", "1"]);
        (satchel.channels().len() == 1).then_some(())
    });
    let forced = satchel.books_agree();
    assert!((opened + 1..opened + 5_000_000).contains(&forced), "{opened}, then {forced}");

    let refused = satchel.refusal(&["channel", "receive", "--first", "100000"]);
    assert!(refused.contains("[channels]"), "{refused}");
    let refused = satchel.refusal(&["channel", "buy", "--capacity-sat", "100000"]);
    assert!(refused.contains("[channels]"), "{refused}");
    let more = satchel.ask(&["sandbox", "channel", "--capacity-sat", "1000000"]);
    assert_eq!(more["hold_slots_total"], 60);
    assert_eq!(satchel.books_agree(), forced, "the customer's channel costs the customer");
}
