//! Sets of sequence numbers as short sorted lists of half-open intervals.

/// A set of sequence numbers; in-order traffic keeps it at one interval.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Intervals(Vec<(u32, u32)>);

impl Intervals {
    pub(super) fn contains(&self, n: u32) -> bool {
        self.find(n).is_ok()
    }

    pub(super) fn clear(&mut self) {
        self.0 = Vec::new();
    }

    /// Adds `n`; joins neighbours.
    pub(super) fn insert(&mut self, n: u32) {
        let Err(at) = self.find(n) else { return };
        let joins_left = at > 0 && self.0[at - 1].1 == n;
        let joins_right = at < self.0.len() && self.0[at].0 == n + 1;
        match (joins_left, joins_right) {
            (true, true) => {
                self.0[at - 1].1 = self.0[at].1;
                self.0.remove(at);
            }
            (true, false) => self.0[at - 1].1 = n + 1,
            (false, true) => self.0[at].0 = n,
            (false, false) => self.0.insert(at, (n, n + 1)),
        }
    }

    /// Adds `n`, which is above everything in the set, and with it all between `from` and `n` when the set
    /// reaches up to `from`: those numbers have not been seen at all, so that nobody asks for them here.
    pub(super) fn append(&mut self, from: u32, n: u32) {
        match self.0.last_mut() {
            Some(last) if last.1 >= from => last.1 = n + 1,
            _ => self.0.push((n, n + 1)),
        }
    }

    /// Takes `n` out.
    pub(super) fn remove(&mut self, n: u32) {
        let Ok(at) = self.find(n) else { return };
        let (from, to) = self.0[at];
        match (from == n, to == n + 1) {
            (true, true) => {
                self.0.remove(at);
            }
            (true, false) => self.0[at].0 = n + 1,
            (false, true) => self.0[at].1 = n,
            (false, false) => {
                self.0[at].1 = n;
                self.0.insert(at + 1, (n + 1, to));
            }
        }
    }

    /// All the numbers of these intervals, in whatever order they are, and however they overlap.
    pub(super) fn from_iter(intervals: impl IntoIterator<Item = (u32, u32)>) -> Self {
        let mut all: Vec<_> = intervals.into_iter().filter(|(from, to)| from < to).collect();
        all.sort_unstable();
        all.dedup_by(|next, last| {
            let joins = next.0 <= last.1;
            last.1 = if joins { last.1.max(next.1) } else { last.1 };
            joins
        });
        Self(all)
    }

    #[cfg(test)]
    fn numbers(&self) -> Vec<u32> {
        self.0.iter().flat_map(|&(from, to)| from..to).collect()
    }

    /// The interval that holds `n`, or where one would be put.
    fn find(&self, n: u32) -> Result<usize, usize> {
        let at = self.0.partition_point(|&(_, to)| to <= n);
        if self.0.get(at).is_some_and(|&(from, _)| from <= n) { Ok(at) } else { Err(at) }
    }
}

/// What is known of why a missing event did not come.
pub(super) type Marks = u8;

/// The open gaps of one client in one room: numbers passed over, with their marks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Gaps(Vec<Gap>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Gap {
    from: u32,
    to: u32,
    marks: Marks,
}

impl Gaps {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn count(&self) -> u64 {
        self.0.iter().map(|gap| u64::from(gap.to - gap.from)).sum()
    }

    /// The open numbers, as half-open intervals.
    pub(super) fn intervals(&self) -> impl Iterator<Item = (u32, u32)> {
        self.0.iter().map(|gap| (gap.from, gap.to))
    }

    /// Opens `from..to`, which lies above every open gap.
    pub(super) fn open(&mut self, from: u32, to: u32) {
        if from < to {
            self.push(from, to, 0);
        }
    }

    /// Opens `n` again, wherever it lies.
    pub(super) fn reopen(&mut self, n: u32) {
        let at = self.0.partition_point(|gap| gap.to <= n);
        if self.0.get(at).is_none_or(|gap| n < gap.from) {
            self.0.insert(at, Gap { from: n, to: n + 1, marks: 0 });
        }
    }

    /// Closes `n`; its marks if it was open.
    pub(super) fn fill(&mut self, n: u32) -> Option<Marks> {
        let at = self.0.partition_point(|gap| gap.to <= n);
        let gap = *self.0.get(at)?;
        if n < gap.from {
            return None;
        }
        let (left, right) = (Gap { to: n, ..gap }, Gap { from: n + 1, ..gap });
        let rest = [left, right].into_iter().filter(|gap| gap.from < gap.to);
        self.0.splice(at..=at, rest);
        if self.0.is_empty() {
            self.0 = Vec::new();
        }
        Some(gap.marks)
    }

    /// Looks at each open number; `None` closes it, else these are its marks now.
    pub(super) fn review(&mut self, mut judge: impl FnMut(u32, Marks) -> Option<Marks>) {
        for gap in std::mem::take(&mut self.0) {
            for n in gap.from..gap.to {
                if let Some(marks) = judge(n, gap.marks) {
                    self.push(n, n + 1, marks);
                }
            }
        }
    }

    fn push(&mut self, from: u32, to: u32, marks: Marks) {
        match self.0.last_mut() {
            Some(last) if last.to == from && last.marks == marks => last.to = to,
            _ => self.0.push(Gap { from, to, marks }),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_only_number_can_be_taken_out_again() {
        let mut intervals = Intervals::default();
        intervals.insert(22);
        intervals.remove(22);
        assert_eq!(intervals, Intervals::default());
    }

    #[test]
    fn what_is_appended_joins_what_reaches_up_to_it() {
        let mut intervals = Intervals::default();
        for (from, n) in [(3, 3), (4, 6), (9, 10), (11, 11)] {
            intervals.append(from, n);
        }
        assert_eq!(intervals.0, [(3, 7), (10, 12)]);
    }

    proptest! {
        #[test]
        fn intervals_are_a_set(steps in prop::collection::vec((any::<bool>(), 0u32..40), 0..200)) {
            let (mut intervals, mut set) = (Intervals::default(), BTreeSet::new());
            for (add, n) in steps {
                if add { intervals.insert(n); set.insert(n); } else { intervals.remove(n); set.remove(&n); }
                prop_assert_eq!(intervals.numbers(), set.iter().copied().collect::<Vec<_>>());
                prop_assert!(intervals.0.windows(2).all(|pair| pair[0].1 < pair[1].0));
                prop_assert!(intervals.0.iter().all(|(from, to)| from < to), "{:?}", intervals);
                prop_assert_eq!(intervals.contains(n), set.contains(&n));
            }
        }

        #[test]
        fn intervals_of_any_order_are_a_set(parts in prop::collection::vec((0u32..40, 0u32..6), 0..20)) {
            let parts: Vec<_> = parts.into_iter().map(|(from, length)| (from, from + length)).collect();
            let set: BTreeSet<u32> = parts.iter().flat_map(|&(from, to)| from..to).collect();
            let intervals = Intervals::from_iter(parts);
            prop_assert_eq!(intervals.numbers(), set.into_iter().collect::<Vec<_>>());
            prop_assert!(intervals.0.windows(2).all(|pair| pair[0].1 < pair[1].0));
        }

        #[test]
        fn gaps_are_a_map(steps in prop::collection::vec((0u8..4, 0u32..6, 0u32..60), 0..120)) {
            let (mut gaps, mut map, mut high) = (Gaps::default(), BTreeMap::new(), 0);
            for (verb, step, n) in steps {
                match verb {
                    0 => {
                        gaps.open(high, high + step);
                        map.extend((high..high + step).map(|n| (n, 0)));
                        high += step + 1;
                    }
                    1 => prop_assert_eq!(gaps.fill(n), map.remove(&n)),
                    2 if n < high => {
                        gaps.reopen(n);
                        map.entry(n).or_insert(0);
                    }
                    2 => {}
                    _ => {
                        gaps.review(|n, marks| (n % 5 != step).then_some(marks | 1 << (n % 3)));
                        map.retain(|n, marks| { *marks |= 1 << (n % 3); n % 5 != step });
                    }
                }
                prop_assert!(gaps.0.iter().all(|gap| gap.from < gap.to), "{:?}", gaps);
                prop_assert_eq!(gaps.is_empty(), map.is_empty());
                let mut listed = Vec::new();
                gaps.review(|n, marks| { listed.push((n, marks)); Some(marks) });
                prop_assert_eq!(listed, map.clone().into_iter().collect::<Vec<_>>());
                prop_assert_eq!(gaps.count(), map.len() as u64);
                // A look joins what lies side by side and is equally marked.
                let apart = |pair: &[Gap]| pair[0].to < pair[1].from || pair[0].marks != pair[1].marks;
                prop_assert!(gaps.0.windows(2).all(apart), "{:?}", gaps);
            }
        }
    }
}
