//! The known word that a mistyped one was probably meant to be.

/// The nearest of the known words; `None` when none is near.
pub(super) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let allowed = (word.chars().count() / 3).max(1);
    let near = known.into_iter().map(|known| (distance(word, known), known));
    near.filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| known)
}

/// Levenshtein's distance, on words as short as keys are: of a long one only the beginning is looked at.
fn distance(one: &str, two: &str) -> usize {
    let two: Vec<char> = two.chars().take(64).collect();
    let mut row: Vec<usize> = (0..=two.len()).collect();
    for (i, from) in one.chars().take(64).enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, to) in two.iter().enumerate() {
            let replaced = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[two.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_distance_counts_what_must_be_typed_anew() {
        for (one, two, steps) in [("", "", 0), ("a", "", 1), ("kitten", "sitting", 3), ("rate", "rates", 1)] {
            assert_eq!(distance(one, two), steps);
            assert_eq!(distance(two, one), steps);
        }
    }

    #[test]
    fn only_a_near_word_is_suggested() {
        assert_eq!(nearest("watchdgo", ["watchdog", "jitter"]), Some("watchdog"));
        assert_eq!(nearest("colour", ["watchdog", "jitter"]), None);
    }
}
