//! Guards, and the runner without one of them. Each mutant leaves out one thing that the adapters or the machines do
//! so that nothing is lost; the simulator has to notice every one of them, or it is worth nothing.

/// Which guard is taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutant {
    /// An event is settled when its component is done, whether or not what it published is safe.
    AcknowledgeBeforeSafe,
    /// Who waits for a publish is told that it is safe when the write begins.
    SafeBeforeCommit,
    /// The store answers before its commit is synced.
    ForgetFsync,
    /// New publishes are sent before those that an earlier process left on disk.
    OvertakeRows,
    /// What an earlier process left of publishes is not looked for.
    ForgetKeptPublishes,
    /// Rows of publishes are deleted when they are sent, not when they are acknowledged.
    ForgetRowWhenSent,
    /// A parked event is settled before its row is committed.
    SettleBeforeParked,
    /// What an earlier process wrote down of events is not looked for.
    ForgetWaitingEvents,
    /// A parked event's row is deleted when it begins to run.
    ForgetEventWhenRun,
    /// An event that failed too often is settled and not kept aside.
    ForgetDeadLetter,
    /// A dead letter that the disk did not take is not tried again.
    BuryOnce,
    /// A try that killed the process is not counted.
    ForgetDeaths,
    /// The keeper does not look, so a stuck lane fills the broker's window.
    NeverPark,
    /// A session that the broker has forgotten is taken as kept.
    SessionAlwaysPresent,
    /// What is under way when the broker forgets the session counts as delivered.
    DropAtSessionLoss,
    /// After a reconnect, what was under way is sent again in another order.
    ResendOutOfOrder,
    /// What the broker holds of an earlier process's QoS 2 messages is not released.
    KeepStrangers,
    /// An acknowledgement that matches nothing is taken for the oldest message's.
    AckForAnother,
    /// Where the session has no room for a publish, smaller ones behind it are sent.
    SendPastTheFull,
    /// A write that failed is taken as done.
    IgnoreFailedWrite,
}

impl Mutant {
    /// All of them.
    pub const ALL: [Self; 20] = [
        Self::AcknowledgeBeforeSafe,
        Self::SafeBeforeCommit,
        Self::ForgetFsync,
        Self::OvertakeRows,
        Self::ForgetKeptPublishes,
        Self::ForgetRowWhenSent,
        Self::SettleBeforeParked,
        Self::ForgetWaitingEvents,
        Self::ForgetEventWhenRun,
        Self::ForgetDeadLetter,
        Self::BuryOnce,
        Self::ForgetDeaths,
        Self::NeverPark,
        Self::SessionAlwaysPresent,
        Self::DropAtSessionLoss,
        Self::ResendOutOfOrder,
        Self::KeepStrangers,
        Self::AckForAnother,
        Self::SendPastTheFull,
        Self::IgnoreFailedWrite,
    ];
}
