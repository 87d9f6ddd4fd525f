//! Chance that a seed repeats: xorshift64*, so that a failure's seed is all that one needs to see it again.

/// A stream of numbers that its seed decides.
#[derive(Debug)]
pub struct Dice(u64);

impl Dice {
    /// The stream of this seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        // Seeds that people type are small and alike; zero would stay zero.
        Self(seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// From nothing to less than this.
    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }

    /// Between these, the first included.
    pub fn between(&mut self, begin: u64, end: u64) -> u64 {
        begin + self.below(end - begin)
    }
}
