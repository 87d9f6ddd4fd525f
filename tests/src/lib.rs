//! What the end-to-end tests share: processes, brokers, scratch folders.
