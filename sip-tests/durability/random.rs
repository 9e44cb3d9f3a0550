//! A small random stream (SplitMix64) whose seed is printed with every failure.

/// The stream.
pub(crate) struct Random(u64);

impl Random {
    /// Seeded by hand or, with `None`, by the kernel; the seed is returned for the report.
    pub(crate) fn new(seed: Option<u64>) -> (Random, u64) {
        let seed = seed.unwrap_or_else(|| {
            let mut bytes = [0; 8];
            getrandom::fill(&mut bytes).expect("the kernel gives random bytes");
            u64::from_le_bytes(bytes)
        });
        (Random(seed), seed)
    }

    /// A number below `bound`, which is not 0.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}
