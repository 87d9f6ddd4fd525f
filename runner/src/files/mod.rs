//! What the three hands wrote: the developer's manifest, the hardware's board file, the operator's runtime
//! configuration. As written, then checked, each with errors that say where and what is allowed.

pub mod board;
pub mod config;
pub mod manifest;
pub mod pins;
pub mod runtime_config;
pub mod url;
pub mod variables;
