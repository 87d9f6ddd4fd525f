//! After a burst, memory goes back to the kernel: a while after it was needed, once, and at rest nothing wakes for it.

use std::sync::Weak;

use tokio::sync::Notify;
use tokio::time::sleep;

use crate::heap;
use crate::limits::heap as limits;

/// Runs for as long as somebody may tell it. The first time is for what only starting needed.
pub(crate) async fn give_back(told: Weak<Notify>) {
    loop {
        loop {
            heap::watch();
            sleep(limits::QUIET).await;
            // It was needed again meanwhile, and will soon be.
            if !heap::has_spare() {
                break;
            }
        }
        heap::give_back();
        while !heap::has_spare() {
            let Some(told) = told.upgrade() else { return };
            told.notified().await;
        }
    }
}
