//! Releases, as what each does otherwise than another.

use stick_table::Millis;

/// A release of HAProxy whose behaviour is known from its streams or its history (peers-protocol §17).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Release {
    /// 1.6.0, which speaks 2.0 only.
    V1_6,
    /// 1.7.0.
    V1_7,
    /// 1.8.0.
    V1_8,
    /// 2.0.0.
    V2_0,
    /// 2.2.0.
    V2_2,
    /// 2.4.0.
    V2_4,
    /// 2.6.0.
    V2_6,
    /// 2.8.0.
    V2_8,
    /// 3.0.0.
    V3_0,
    /// 3.2.0.
    V3_2,
    /// 3.4.0.
    V3_4,
    /// 3.5-dev5.
    V3_5Dev,
}

/// What differs between releases, each by itself.
///
/// "Since" and "until" are the first mainline release that does, or no longer does, so; stable branches often got the change
/// later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quirks {
    /// Announces and accepts 2.1, and sends remaining lifetimes in lessons. Since 1.7 (§2.2, §2.4).
    pub speaks_2_1: bool,
    /// Definitions say expiry and periods. Since 1.8 (§7.1).
    pub sends_definition_tail: bool,
    /// Sends heartbeats, and closes a session on which nothing comes. Since 2.0 (§3.1).
    pub sends_heartbeats: bool,
    /// Closes a session on which nothing passes for this long, in ms. Until 1.7 in what was captured (§3).
    pub idle_close_ms: Option<Millis>,
    /// Gives an attempt to connect up after this time, in ms. 1000 since 2.7, before that 5000 (§3).
    pub connect_timeout_ms: Millis,
    /// That a peer called counts as a sign of life, unless its session replaced another. Seen with 3.2 and 3.4; §3.1 knows no
    /// such exception.
    pub forgets_life_at_collision: bool,
    /// Definitions and updates of unknown tables are no sign of life. 2.0 to 2.7 (§3.1, §18.11).
    pub unknown_tables_are_no_life: bool,
    /// Takes payload lengths of 128 to 239 for something else; here, for an error. 2.0 to 2.3 (§18.2).
    pub misreads_lengths: bool,
    /// Ends every lesson as partial. 2.0 to 2.2-dev4 (§18.6).
    pub lessons_are_always_partial: bool,
    /// A lesson starts at the last acknowledged update, and not at the newest. Since 2.4 (§13.2, §18.7).
    pub teaches_from_acked: bool,
    /// Acknowledgements from a peer that is being taught do not count. Since 2.4 (§11.1).
    pub ignores_acks_while_teaching: bool,
    /// A resume cursor that is ahead of the newest local update is put half the ring away from it. Since 2.4 (§12.3).
    pub resets_future_cursor: bool,
    /// Waits for its predecessor no longer than 5 s, even when nothing happens. Since 2.4 (§13.1).
    pub bounds_wait_for_predecessor: bool,
    /// Whether there is something to push is told by a signed distance, and not by inequality. Until 2.3 (§12.4).
    pub pushes_by_signed_distance: bool,
    /// Most updates of a table in one pass. Since 2.7, 200 (§13.3).
    pub max_updates_at_once: Option<usize>,
    /// A received lifetime is at most that of the table. Since 3.2 (§8.3).
    pub clamps_lifetimes: bool,
    /// An untimed update of an entry that is there leaves its expiry. 1.8.0 (§8.3).
    pub keeps_expiry_of_known_entries: bool,
    /// A new entry with a short lifetime stays, though over, for the table's expiry. Until 3.4-dev8 (§8.3).
    pub frees_short_lifetimes_late: bool,
    /// Ids of updates of a lesson are not noted, so not acknowledged. Since 3.3 (§11.1).
    pub acks_no_lessons: bool,
    /// The bytes of an implied id are swapped. Since 3.3 (§18.1).
    pub swaps_implied_ids: bool,
    /// How far from the update counter the id of a learned entry is. Half the ring; 29 in 1.6.0 (§12.2, §18.10).
    pub learned_id_offset: u32,
    /// An entry that is changed again before any peer got it moves to a new id. Until 2.8 in what was captured: ids of
    /// entries that were changed several times before a peer came have gaps there, and none from 3.0 on (§12.1).
    pub renumbers_waiting_entries: bool,
    /// A learned entry does not move when it is changed here, until some peer got it. 3.0 to 3.1-dev7 (§18.12).
    pub holds_back_learned_entries: bool,
    /// The age of a received rate is added to the clock. 1.6.0 (§9.3, §18.10).
    pub learns_rates_of_the_future: bool,
    /// Without remote peers it is up to date at once. Since 3.0 (§13.1).
    pub needs_no_wait_without_remotes: bool,
    /// Reconnects sooner when a timer ran out during a push. Since 2.9 (§3.1).
    pub rearms_reconnect_while_pushing: bool,
    /// When it stops: time between attempts to reach its successor, in ms. 500 since 2.7, before at once (§3, §13.4).
    pub successor_retry_ms: Millis,
    /// When it stops: teaches its successor only if it is up to date. Since 2.7 (§13.4).
    pub teaches_successor_only_when_up_to_date: bool,
}

/// Half the ring of update ids.
pub(super) const HALF: u32 = 1 << 31;

impl Release {
    /// All of them, the oldest first.
    pub const ALL: [Self; 12] = [
        Self::V1_6,
        Self::V1_7,
        Self::V1_8,
        Self::V2_0,
        Self::V2_2,
        Self::V2_4,
        Self::V2_6,
        Self::V2_8,
        Self::V3_0,
        Self::V3_2,
        Self::V3_4,
        Self::V3_5Dev,
    ];

    /// What this release does.
    pub fn quirks(self) -> Quirks {
        Quirks {
            speaks_2_1: self >= Self::V1_7,
            sends_definition_tail: self >= Self::V1_8,
            sends_heartbeats: self >= Self::V2_0,
            idle_close_ms: (self <= Self::V1_7).then_some(5_000),
            connect_timeout_ms: if self >= Self::V2_8 { 1_000 } else { 5_000 },
            forgets_life_at_collision: self >= Self::V3_2,
            unknown_tables_are_no_life: self >= Self::V2_0 && self < Self::V2_8,
            misreads_lengths: self >= Self::V2_0 && self < Self::V2_4,
            lessons_are_always_partial: self == Self::V2_0,
            teaches_from_acked: self >= Self::V2_4,
            ignores_acks_while_teaching: self >= Self::V2_4,
            resets_future_cursor: self >= Self::V2_4,
            bounds_wait_for_predecessor: self >= Self::V2_4,
            pushes_by_signed_distance: self < Self::V2_4,
            max_updates_at_once: (self >= Self::V2_8).then_some(200),
            clamps_lifetimes: self >= Self::V3_2,
            keeps_expiry_of_known_entries: self == Self::V1_8,
            frees_short_lifetimes_late: self < Self::V3_4,
            acks_no_lessons: self >= Self::V3_4,
            swaps_implied_ids: self >= Self::V3_4,
            learned_id_offset: if self == Self::V1_6 { 29 } else { HALF },
            renumbers_waiting_entries: self < Self::V3_0,
            holds_back_learned_entries: self == Self::V3_0,
            learns_rates_of_the_future: self == Self::V1_6,
            needs_no_wait_without_remotes: self >= Self::V3_0,
            rearms_reconnect_while_pushing: self >= Self::V3_0,
            successor_retry_ms: if self >= Self::V2_8 { 500 } else { 1 },
            teaches_successor_only_when_up_to_date: self >= Self::V2_8,
        }
    }
}
