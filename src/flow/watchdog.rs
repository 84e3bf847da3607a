//! Money is locked and the node does not see the chain: somebody has to know before the deadlines do.
//!
//! A node that stays away from a hold's deadline until its HTLC expires (39 blocks, some six hours) costs the channel.

use lnmp::GateState;
use store::{Batch, GateFilter, UnixMs};

use crate::flow::ask::new_message_id;
use crate::flow::submit;
use crate::house::{House, now_ms};
use crate::letters;

/// Behind for so long, it is said in the log; a node that starts is behind for seconds.
const SAY_AFTER_MS: i64 = 10 * 60_000;
/// And again so often.
const SAY_AGAIN_MS: i64 = 3_600_000;
/// Behind for so long, the postmaster gets a mail.
const MAIL_AFTER_MS: i64 = 2 * 3_600_000;

/// What there is to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Alert {
    /// In the log.
    Say,
    /// By mail, once for each time it falls behind.
    Mail,
}

/// How long the node has been behind while money was held.
#[derive(Debug, Default)]
pub struct Watchdog {
    since: Option<UnixMs>,
    said: Option<UnixMs>,
    mailed: bool,
}

impl Watchdog {
    fn look(&mut self, is_fresh: bool, anything_held: bool, now: UnixMs) -> Option<Alert> {
        if is_fresh || !anything_held {
            *self = Self::default();
            return None;
        }
        let behind = now - *self.since.get_or_insert(now);
        if behind >= MAIL_AFTER_MS && !self.mailed {
            (self.mailed, self.said) = (true, Some(now));
            return Some(Alert::Mail);
        }
        if behind >= SAY_AFTER_MS && self.said.is_none_or(|said| now - said >= SAY_AGAIN_MS) {
            self.said = Some(now);
            return Some(Alert::Say);
        }
        None
    }

    /// Looks at node and gates, and says what there is to say.
    pub async fn watch(&mut self, house: &House) -> anyhow::Result<()> {
        let is_fresh = house.running()?.wallet.chain().await.is_ok_and(|chain| chain.fresh);
        let mut held = 0;
        if !is_fresh {
            for state in [GateState::Held, GateState::Settling] {
                let filter = GateFilter { state: Some(state), ..GateFilter::default() };
                held += house.store.gates(filter).await?.len();
            }
        }
        let now = now_ms();
        let Some(alert) = self.look(is_fresh, held > 0, now) else { return Ok(()) };
        let minutes = self.since.map_or(0, |since| (now - since) / 60_000);
        tracing::error!(held, minutes, "the Lightning node does not see the chain while payments are held");
        if alert == Alert::Mail {
            let to = house.bridge_address();
            let letter = letters::Behind {
                cover: letters::Cover { from: &to, to: &to, message_id: &new_message_id(house), now },
                held,
                minutes,
            }
            .render();
            let delivery = submit::letter(house, &to, &letter, now).await;
            let delivery = delivery.map_err(|refusal| anyhow::anyhow!(refusal.text))?;
            let batch = Batch { deliveries: delivery.into_iter().collect(), ..Batch::default() };
            house.store.commit(batch, now).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: i64 = 60_000;

    #[test]
    fn it_is_said_after_ten_minutes_every_hour_and_mailed_once_after_two() {
        let mut dog = Watchdog::default();
        let said: Vec<(i64, Alert)> = (0..=240)
            .filter_map(|minute| dog.look(false, true, minute * MINUTE).map(|alert| (minute, alert)))
            .collect();
        assert_eq!(
            said,
            [(10, Alert::Say), (70, Alert::Say), (120, Alert::Mail), (180, Alert::Say), (240, Alert::Say)]
        );
        // Caught up: the next time is another time.
        assert_eq!(dog.look(true, true, 241 * MINUTE), None);
        assert_eq!(dog.look(false, true, 242 * MINUTE), None);
        assert_eq!(dog.look(false, true, 252 * MINUTE), Some(Alert::Say));
    }

    #[test]
    fn nothing_is_said_while_nothing_is_held() {
        let mut dog = Watchdog::default();
        assert!((0..500).all(|minute| dog.look(false, false, minute * MINUTE).is_none()));
        assert_eq!(dog.look(false, true, 500 * MINUTE), None, "the time begins with the hold");
    }
}
