//! The README stays true: its commands run, its links lead somewhere, its profiles exist.

#![expect(clippy::disallowed_methods, reason = "the README is a file")]

use std::fs;
use std::path::Path;

use assert_cmd::Command;
use wavesoak::profile::builtins;

fn readme() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).expect("the README is there")
}

/// The lines of its `sh` blocks, without comments.
fn commands() -> Vec<String> {
    let text = readme();
    let blocks = text.split("```sh\n").skip(1).filter_map(|block| block.split("```").next());
    let lines =
        blocks.flat_map(str::lines).map(|line| line.split(" #").next().unwrap_or(line).trim().to_owned());
    lines.filter(|line| !line.is_empty()).collect()
}

#[test]
fn every_command_of_the_readme_is_accepted() {
    let mut seen = 0;
    for line in commands() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let args = match words.as_slice() {
            ["wavesoak", args @ ..] | ["cargo", "run", "--release", "--", args @ ..] => args,
            ["tests/all"] => continue,
            _ => panic!("the README has a command that nothing tests: {line}"),
        };
        let mut command = Command::cargo_bin("wavesoak").expect("the binary is built");
        command.current_dir(env!("CARGO_MANIFEST_DIR")).args(args);
        // A run is only planned here; that whole runs work is shown by tests/cli.rs and tests/loopback.rs.
        if args[0] == "run" && !args.contains(&"--dry-run") {
            command.arg("--dry-run");
        }
        let output = command.output().expect("it runs");
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
        seen += 1;
    }
    assert!(seen >= 8, "{seen}");
}

#[test]
fn every_built_in_profile_is_described() {
    let text = readme();
    for profile in builtins() {
        assert!(text.contains(&format!("| `{}` |", profile.name)), "{}", profile.name);
    }
}

#[test]
fn every_link_of_the_readme_leads_to_a_file() {
    let text = readme();
    let links: Vec<&str> = text
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split(')').next())
        .filter(|link| !link.contains("://"))
        .collect();
    assert!(!links.is_empty());
    for link in links {
        assert!(Path::new(env!("CARGO_MANIFEST_DIR")).join(link).exists(), "{link}");
    }
}
