//! What holds for `[sizing]`.

use super::super::PODS_PLACE;
use super::Rules;
use crate::profile::error::Why;

impl Rules<'_> {
    /// Whatever scales is taken back, and both are commands.
    pub(super) fn sizing(&mut self) {
        let sizing = &self.profile.sizing;
        self.interval("sizing.timeout", sizing.timeout);
        self.interval("sizing.deadline", sizing.deadline);
        let scales = !sizing.scale.is_empty();
        for (key, words, needed) in
            [("sizing.scale", &sizing.scale, false), ("sizing.undo", &sizing.undo, scales)]
        {
            let there = words.first().is_some_and(|program| !program.trim().is_empty());
            let readable = !words.iter().any(|word| word.contains('\0'));
            self.require((there || !needed && words.is_empty()) && readable, key, words, Why::NoCommand);
            self.require(!sizing.shell || words.len() <= 1, key, words, Why::OneLine);
        }
        let placed = sizing.scale.iter().any(|word| word.contains(PODS_PLACE));
        self.require(!scales || placed, "sizing.scale", &sizing.scale, Why::NoPlaceForPods);
        self.require(scales || sizing.undo.is_empty(), "sizing.undo", &sizing.undo, Why::NothingScales);
    }
}

#[cfg(test)]
mod tests {
    use crate::profile::{PODS_PLACE, parse};

    fn refused(sizing: &str) -> String {
        let text = format!("[sizing]\n{sizing}\n[[phase]]\nduration = \"1s\"\nclients = \"100%\"\n");
        parse(&text, "sizing.toml", &[]).err().map(|error| format!("{error:?} {error}")).unwrap_or_default()
    }

    #[test]
    fn what_scales_names_a_place_for_the_number_and_is_taken_back() {
        let good =
            format!("scale = ['kubectl', '--replicas={PODS_PLACE}']\nundo = ['kubectl', '--replicas=3']");
        assert_eq!(refused(&good), "");
        for (wrong, expected) in [
            ("scale = ['kubectl']\nundo = ['kubectl']", "NoPlaceForPods"),
            ("scale = ['kubectl {pods}']", "NoCommand"),
            ("undo = ['kubectl']", "NothingScales"),
            ("shell = true\nscale = ['a', '{pods}']\nundo = ['a']", "OneLine"),
            ("timeout = '0s'", "sizing.timeout"),
        ] {
            let said = refused(wrong);
            assert!(said.contains(expected), "{wrong}: {said}");
        }
    }

    #[test]
    fn the_number_goes_where_it_belongs_and_a_shell_is_only_asked_for() {
        let text = "[sizing]\nscale = ['run', 'n={pods}', '{pods}']\nundo = ['run', 'n=3']\n\
                    [[phase]]\nduration = '1s'\nclients = '100%'\n";
        let sizing = parse(text, "sizing.toml", &[]).expect("a good profile").profile.sizing;
        assert_eq!(sizing.scale_argv(4), ["run", "n=4", "4"]);
        assert_eq!(sizing.undo_argv(), ["run", "n=3"]);
        let shell = crate::profile::Sizing { shell: true, scale: vec!["n={pods}".to_owned()], ..sizing };
        assert_eq!(shell.scale_argv(2), ["/bin/sh", "-c", "n=2"]);
    }
}
