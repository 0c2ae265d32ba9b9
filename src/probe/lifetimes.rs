//! Do the times at which streams ended cluster (pure)? A rule on the way (an idle timeout, a maximum age) ends all of them
//! after the same time; an unstable network does not.

use std::time::Duration;

/// Values that lie together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cluster {
    /// The median of those in it.
    pub(crate) at: Duration,
    /// From the lowest to the highest of them.
    pub(crate) spread: Duration,
    /// How many lie in it.
    pub(crate) count: usize,
    /// Of so many.
    pub(crate) of: usize,
}

/// Fewer lie together by chance.
const COUNT_MIN: usize = 3;

/// A cluster is no wider than this: balancers look at their timers every few hundred milliseconds (nginx 0.3 s), and we
/// have to be served in time too (ours).
const WIDTH: Duration = Duration::from_millis(800);

impl Cluster {
    /// The densest [`WIDTH`] of the values, if two thirds of them lie in it: one that is wide for what it measures is none.
    pub(crate) fn of(mut values: Vec<Duration>) -> Option<Self> {
        values.sort_unstable();
        let of = values.len();
        let last = |first: usize| values.partition_point(|value| *value <= values[first] + WIDTH);
        let (first, end) =
            (0..of).map(|first| (first, last(first))).max_by_key(|(first, end)| end - first)?;
        let own = &values[first..end];
        let (at, spread, count) = (own[own.len() / 2], own[own.len() - 1] - own[0], own.len());
        (count >= COUNT_MIN && count * 3 >= of * 2 && spread * 2 <= at).then_some(Self {
            at,
            spread,
            count,
            of,
        })
    }

    /// Whether another one lies at the same place.
    pub(super) fn is_at(&self, other: &Self) -> bool {
        self.at.abs_diff(other.at) <= WIDTH
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cluster(millis: &[u64]) -> Option<(u128, usize, usize)> {
        let cluster = Cluster::of(millis.iter().copied().map(Duration::from_millis).collect())?;
        Some((cluster.at.as_millis(), cluster.count, cluster.of))
    }

    #[test]
    fn what_lies_together_is_found_among_what_does_not() {
        assert_eq!(cluster(&[20_010, 20_020, 3_000, 20_300]), Some((20_020, 3, 4)));
        assert_eq!(cluster(&[2_000, 2_010, 2_020]), Some((2_010, 3, 3)));
    }

    #[test]
    fn few_or_scattered_values_are_no_cluster() {
        assert_eq!(cluster(&[]), None);
        assert_eq!(cluster(&[20_000, 20_000]), None);
        assert_eq!(cluster(&[3_000, 9_000, 14_000, 27_000, 27_100, 27_200]), None);
        assert_eq!(cluster(&[100, 400, 800]), None, "as wide as what it measures");
    }
}
