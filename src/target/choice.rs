//! An exact share of the clients, drawn from a seed.

use rand::Rng as _;

use crate::seed::Stream;

/// A set of client numbers, one bit each.
#[derive(Debug)]
pub(super) struct Chosen {
    bits: Vec<u64>,
    len: u32,
}

impl Chosen {
    /// Draws `share` of the clients 0 to `of` - 1, rounded to a whole number (selection sampling: one pass, and
    /// every set of that size is as likely as any other).
    pub(super) fn draw(mut stream: Stream, share: f64, of: u32) -> Self {
        let len = (share.clamp(0.0, 1.0) * f64::from(of)).round() as u32;
        let mut bits = vec![0; of.div_ceil(64) as usize];
        let mut wanted = len;
        for client in 0..of {
            let left = u64::from(of - client);
            // The high half of 64 random bits times `left` is uniform over 0 to left - 1.
            let drawn = (u128::from(stream.next_u64()) * u128::from(left)) >> 64;
            if drawn < u128::from(wanted) {
                bits[client as usize / 64] |= 1 << (client % 64);
                wanted -= 1;
            }
        }
        Self { bits, len }
    }

    pub(super) fn contains(&self, client: u32) -> bool {
        self.bits.get(client as usize / 64).is_some_and(|word| word & (1 << (client % 64)) != 0)
    }

    pub(super) fn len(&self) -> u32 {
        self.len
    }
}

#[cfg(test)]
mod tests {
    use crate::seed::Seed;

    use super::*;

    #[test]
    fn the_share_is_exact() {
        for (share, of, len) in [(0.0, 100, 0), (1.0, 65, 65), (0.4, 300, 120), (0.5, 1, 1), (0.3, 0, 0)] {
            let chosen = Chosen::draw(Seed(7).stream("test", [0; 3]), share, of);
            assert_eq!(chosen.len(), len);
            assert_eq!((0..of + 70).filter(|&client| chosen.contains(client)).count(), len as usize);
        }
    }
}
