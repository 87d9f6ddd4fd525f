//! The harness of the fault battery in `tests/faults`: a broker that records, a wire that can be cut, the books, and
//! the scene in which a real `pirnd` runs. What is done with it stands there.

pub mod books;
pub mod broker;
pub mod kept;
mod link;
pub mod manners;
pub mod names;
pub mod packet;
pub mod piece;
pub mod processes;
pub mod proxy;
pub mod scene;
pub mod session;
