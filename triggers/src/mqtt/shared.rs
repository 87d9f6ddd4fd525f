//! stub
use super::message::{Message, Publish, PublishError, Receipt};
use super::notice::{Counters, State};
use super::options::Options;
use tokio::sync::watch;
pub(crate) struct Shared {
    state: watch::Sender<State>,
}
impl Shared {
    pub(crate) fn new(_options: Options) -> Self {
        Self { state: watch::Sender::new(State::Stopped) }
    }
    pub(crate) fn settle(&self, _key: u64) {}
    pub(crate) fn abandon(&self, _key: u64) {}
    pub(crate) fn state(&self) -> watch::Receiver<State> {
        self.state.subscribe()
    }
    pub(crate) fn counters(&self) -> Counters {
        Counters::default()
    }
    pub(crate) async fn publish(&self, _publish: Publish) -> Result<Receipt, PublishError> {
        Err(PublishError::Stopped)
    }
    pub(crate) async fn next(&self) -> Option<Message> {
        None
    }
}
