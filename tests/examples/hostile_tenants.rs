//! What a hostile app costs the healthy ones in the same process: fifty apps that answer, and one of each kind of
//! hostility, alone and all together. Prints what the healthy ones' messages took in milliseconds, alone and beside,
//! and how many times as long the 99th of a hundred took beside; the aim is two.
//!
//! ```sh
//! cross/targets/pirnd x86_64-unknown-linux-musl && tests/guests/build && cargo build --workspace --all-targets
//! target/debug/examples/hostile_tenants                       each kind, and all
//! target/debug/examples/hostile_tenants loop all              these
//! target/debug/examples/hostile_tenants loop --many 16        so many apps of a kind
//! target/debug/examples/hostile_tenants --healthy 10 --rate 100 --seconds 5 --seed 1
//! ```
//!
//! PIRND=FILE measures that runner.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use pirn_tests::dice::Dice;
use pirn_tests::neighbourhood::{Hostility, Neighbourhood};
use pirn_tests::traffic::Passed;

struct Settings {
    kinds: Vec<String>,
    healthy: usize,
    many: usize,
    rate: u32,
    seconds: u64,
    seed: u64,
}

impl Settings {
    fn given() -> Self {
        let (kinds, healthy, many) = (Vec::new(), 50, 1);
        let mut settings = Self { kinds, healthy, many, rate: 200, seconds: 10, seed: 1 };
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            let mut value = || words.next().unwrap_or_else(|| panic!("{word} needs a value"));
            match word.as_str() {
                "--healthy" => settings.healthy = value().parse().unwrap(),
                "--many" => settings.many = value().parse().unwrap(),
                "--rate" => settings.rate = value().parse().unwrap(),
                "--seconds" => settings.seconds = value().parse().unwrap(),
                "--seed" => settings.seed = value().parse().unwrap(),
                _ => settings.kinds.push(word),
            }
        }
        settings
    }

    fn wants(&self, kind: &str) -> bool {
        self.kinds.is_empty() || self.kinds.iter().any(|wanted| wanted == kind)
    }
}

fn cells(passed: &Passed) -> String {
    let ms = |share| passed.times.at(share).as_secs_f64() * 1e3;
    format!("{:>9.2}{:>9.2}{:>9.2}{:>6}", ms(0.5), ms(0.99), ms(1.0), passed.lost)
}

fn measure(settings: &Settings, name: &str, kinds: &[Hostility]) {
    let hostile: Vec<Hostility> =
        kinds.iter().copied().cycle().take(kinds.len() * settings.many).collect();
    let mut neighbourhood = Neighbourhood::of(settings.healthy, &hostile);
    let (time, mut dice) = (Duration::from_secs(settings.seconds), Dice::new(settings.seed));
    let alone = neighbourhood.alone(settings.rate, time, &mut dice);
    let beside = neighbourhood.beside(settings.rate, time, &mut dice);
    let p99 = |passed: &Passed| passed.times.at(0.99).as_secs_f64();
    let ratio = p99(&beside) / p99(&alone);
    println!("{name:16}{}{}{ratio:>9.2}", cells(&alone), cells(&beside));
}

fn main() {
    let settings = Settings::given();
    println!(
        "{} healthy apps, {} messages a second to all of them together; {} of each hostile kind; milliseconds",
        settings.healthy, settings.rate, settings.many
    );
    let columns = format!("{:>9}{:>9}{:>9}{:>6}", "p50", "p99", "max", "lost");
    println!("{:16}{:>33}{:>33}", "", "alone", "beside");
    println!("{:16}{columns}{columns}{:>9}", "", "p99 by");
    for kind in Hostility::ALL.iter().filter(|kind| settings.wants(kind.name())) {
        measure(&settings, kind.name(), &[*kind]);
    }
    if settings.wants("all") {
        measure(&settings, "all", Hostility::ALL);
    }
}
