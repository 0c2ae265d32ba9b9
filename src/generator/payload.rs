//! How large each event is.

use rand::RngExt as _;
use rand_distr::{Distribution as _, LogNormal};

use crate::profile::{PAYLOAD_MAX, PAYLOAD_MIN, Payload};
use crate::seed::Seed;

/// Bytes of serialised content of the event (room, n); it follows from the seed alone.
pub fn payload_size(payload: Payload, seed: Seed, room: u32, n: u32) -> u32 {
    let stream = || seed.stream("payload", [u64::from(room), u64::from(n), 0]);
    match payload {
        Payload::Fixed(bytes) => bytes,
        Payload::Range(low, high) => stream().random_range(low..=high),
        Payload::LogNormal(median, sigma) => match LogNormal::new(f64::from(median).ln(), sigma) {
            Ok(sizes) => (sizes.sample(&mut stream()).round() as u32).clamp(PAYLOAD_MIN, PAYLOAD_MAX),
            Err(_) => median,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_keep_their_bounds_and_median() {
        let sizes = |payload| (0..2000).map(|n| payload_size(payload, Seed(1), 0, n)).collect::<Vec<_>>();
        assert!(sizes(Payload::Fixed(300)).iter().all(|&size| size == 300));
        assert!(sizes(Payload::Range(300, 400)).iter().all(|size| (300..=400).contains(size)));
        let mut drawn = sizes(Payload::LogNormal(600, 0.8));
        drawn.sort_unstable();
        assert!((540..660).contains(&drawn[1000]), "{}", drawn[1000]);
        assert!(drawn[0] >= PAYLOAD_MIN && drawn[1999] <= PAYLOAD_MAX);
    }
}
