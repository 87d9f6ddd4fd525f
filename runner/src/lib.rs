//! pirn's runner: from an event to its outcome.
