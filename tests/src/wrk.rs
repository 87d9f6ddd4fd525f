//! Load over HTTP by wrk, on one thread of its own: a kept program, so that we do not measure a client of ours.

use std::process::{Child, Command, Stdio};

/// What it found. Times are in microseconds.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Answers a second.
    pub per_second: f64,
    /// The middle one.
    pub p50: f64,
    /// The slowest but one in a hundred.
    pub p99: f64,
    /// Some answers were none, or not 2xx.
    pub failed: bool,
}

/// Load that is under way.
pub struct Loading(Child);

impl Load {
    /// Asks for a path for so many seconds, over so many connections.
    ///
    /// # Panics
    /// If there is no wrk.
    #[must_use]
    pub fn begin(port: u16, path: &str, connections: u32, seconds: u32) -> Loading {
        let mut wrk = Command::new("wrk");
        wrk.args(["-t1", &format!("-c{connections}"), &format!("-d{seconds}s"), "--latency"]);
        wrk.arg(format!("http://127.0.0.1:{port}{path}")).stdout(Stdio::piped());
        Loading(wrk.spawn().expect("wrk: apt-get install wrk"))
    }

    fn parsed(said: &str) -> Self {
        let word = |label: &str| {
            let rest = said.lines().find_map(|line| line.trim().strip_prefix(label));
            rest.unwrap_or_else(|| panic!("no {label} in:\n{said}")).trim()
        };
        Self {
            per_second: word("Requests/sec:").parse().expect("a number"),
            p50: micros(word("50%")),
            p99: micros(word("99%")),
            failed: said.contains("Non-2xx") || said.contains("Socket errors"),
        }
    }
}

impl Loading {
    /// Waits for its end.
    ///
    /// # Panics
    /// If wrk says something else than it used to.
    #[must_use]
    pub fn end(self) -> Load {
        let ended = self.0.wait_with_output().expect("wrk ends");
        Load::parsed(&String::from_utf8_lossy(&ended.stdout))
    }
}

/// `1.23ms` and the like.
fn micros(text: &str) -> f64 {
    for (unit, factor) in [("us", 1.0), ("ms", 1e3), ("s", 1e6), ("m", 6e7)] {
        if let Some(number) = text.strip_suffix(unit).and_then(|number| number.parse::<f64>().ok())
        {
            return number * factor;
        }
    }
    panic!("no time: {text}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_wrk_says_is_understood() {
        let said = "Running 5s test @ http://127.0.0.1:3001/hello\n  Latency Distribution\n     \
                    50%   61.00us\n     75%   80.00us\n     99%    1.25ms\n  100 requests in 5.00s\n\
                    Requests/sec:  15234.61\nTransfer/sec:      1.50MB\n";
        let load = Load::parsed(said);
        assert_eq!(
            (load.per_second, load.p50, load.p99, load.failed),
            (15_234.61, 61.0, 1250.0, false)
        );
        assert!(Load::parsed(&format!("{said}  Non-2xx or 3xx responses: 3\n")).failed);
    }
}
