//! After a burst, memory goes back to the kernel: a while after it was needed, once, and at rest nothing wakes for it.

use std::sync::Arc;

use tokio::time::sleep;

use super::house::House;
use crate::heap;
use crate::limits::heap as limits;

/// Runs for as long as the lanes do. The first time is for what only starting needed.
pub(crate) async fn give_back(house: Arc<House>) {
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
            house.spare.notified().await;
        }
    }
}
