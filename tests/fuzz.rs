//! The fuzzers' targets without a fuzzer: every seed, and a number of mutations of each that follow from a seed.
//!
//! Nothing guides the mutations; `tests/fuzz/targets/mod.rs` says how libFuzzer is set on the same targets. More of them:
//!
//! ```text
//! WAVESOAK_SEED=0 WAVESOAK_MUTATIONS=1000000 cargo test --release --test fuzz -- --nocapture
//! ```
#![expect(clippy::disallowed_methods, reason = "seeds are files")]

#[expect(dead_code, reason = "nothing is played on several threads here")]
#[path = "scenarios/asked.rs"]
mod asked;
#[path = "fuzz/targets/mod.rs"]
pub mod targets;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use rand::RngExt as _;
use wavesoak::seed::{Seed, Stream};

use asked::{asked, say};

/// Mutations of each target where nothing else is asked for.
const MUTATIONS: u64 = 20_000;

/// The longest input that mutations grow to.
const LONGEST: usize = 16 * 1024;

#[test]
fn frames_of_any_shape_are_read_as_the_protocol_says() {
    play("frame");
}

#[test]
fn bytes_of_a_socket_are_taken_apart_however_they_were_cut() {
    play("stream");
}

#[test]
fn pages_of_any_shape_bridge_or_are_refused() {
    play("sync_page");
}

#[test]
fn answers_of_any_shape_are_read_and_tell_no_secret() {
    play("send_reply");
}

#[test]
fn profiles_of_any_shape_are_read_or_refused_with_a_reason() {
    play("profile");
}

#[test]
fn metrics_of_any_shape_are_counted_or_not_known() {
    play("metrics");
}

#[test]
fn every_target_has_its_fuzzer_its_seeds_and_a_test() {
    let manifest = fs::read_to_string(directory().join("Cargo.toml")).expect("the fuzzers' manifest");
    let own =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz.rs")).expect("this file");
    for (name, _) in targets::TARGETS {
        assert!(
            manifest.contains(&format!("name = \"{name}\"\npath = \"fuzz_targets/{name}.rs\"")),
            "{name}"
        );
        assert!(own.contains(&format!("play(\"{name}\")")), "{name}");
        assert!(seeds(name).len() >= 5, "{name}");
    }
}

/// One target at a time: what it takes from the heap is measured.
static ALONE: Mutex<()> = Mutex::new(());

fn play(name: &str) {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let target = targets::TARGETS.iter().find(|(own, _)| *own == name).expect("a target of this name").1;
    let seeds = seeds(name);
    let began = Instant::now();
    for (path, input) in &seeds {
        holds(target, input, &path.display().to_string());
    }
    let first = asked("WAVESOAK_SEED").unwrap_or(0);
    let mutations = asked("WAVESOAK_MUTATIONS").unwrap_or(MUTATIONS);
    let words = words(name);
    for number in first..first + mutations {
        let mut random = Seed(number).stream("fuzz", [0; 3]);
        let input = mutated(&seeds, &words, &mut random);
        holds(target, &input, &format!("mutation {number}"));
    }
    let took = began.elapsed();
    say(&format!("fuzz {name}: {} seeds, {mutations} mutations, 0 failures, {took:.1?}", seeds.len()));
}

fn holds(target: targets::Target, input: &[u8], what: &str) {
    if catch_unwind(AssertUnwindSafe(|| target(input))).is_err() {
        let text = input.escape_ascii();
        panic!("it fails on {what}: {} bytes, to be put into tests/fuzz/seeds:\n{text}", input.len());
    }
}

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz")
}

/// The committed inputs of a target, in the order of their names.
fn seeds(name: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let entries = fs::read_dir(directory().join("seeds").join(name)).expect("seeds of the target");
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("a seed").path()).collect();
    paths.sort();
    paths.into_iter().map(|path| (path.clone(), fs::read(path).expect("a seed"))).collect()
}

/// The words of the target's dictionary.
fn words(name: &str) -> Vec<Vec<u8>> {
    let dictionary = match name {
        "frame" | "sync_page" | "send_reply" => "json",
        other => other,
    };
    let path = directory().join("dictionaries").join(format!("{dictionary}.dict"));
    let text = fs::read_to_string(path).expect("the target's dictionary");
    text.lines().map(|line| unescaped(line.trim_matches('"'))).collect()
}

/// libFuzzer's escapes: `\\`, `\"` and `\xAB`.
fn unescaped(word: &str) -> Vec<u8> {
    let (mut out, mut bytes) = (Vec::new(), word.bytes());
    while let Some(byte) = bytes.next() {
        let escaped = if byte == b'\\' { bytes.next() } else { None };
        out.push(match escaped {
            Some(b'x') => {
                let digits = [bytes.next(), bytes.next()].map(|digit| digit.unwrap_or(b'0'));
                let digits = String::from_utf8_lossy(&digits).into_owned();
                u8::from_str_radix(&digits, 16).expect("two hexadecimal digits")
            }
            Some(other) => other,
            None => byte,
        });
    }
    out
}

/// A seed, changed in a few places.
fn mutated(seeds: &[(PathBuf, Vec<u8>)], words: &[Vec<u8>], random: &mut Stream) -> Vec<u8> {
    let mut input = seeds[random.random_range(0..seeds.len())].1.clone();
    for _ in 0..random.random_range(1..=3) {
        let (from, to) = (random.random_range(0..=input.len()), random.random_range(0..=input.len()));
        let range = from.min(to)..from.max(to).min(from.min(to) + 64);
        let piece = input[range.clone()].to_vec();
        let at = random.random_range(0..=input.len());
        match random.random_range(0..8) {
            0 if at < input.len() => input[at] ^= 1 << random.random_range(0..8),
            1 if at < input.len() => input[at] = random.random(),
            2 => drop(input.drain(range)),
            3 => insert(&mut input, at, &piece),
            4 | 5 => {
                let word = &words[random.random_range(0..words.len())];
                input.splice(range.start..range.end.min(range.start + word.len()), word.iter().copied());
            }
            6 => insert(&mut input, at, &words[random.random_range(0..words.len())]),
            _ => {
                // The end of another seed.
                let other = &seeds[random.random_range(0..seeds.len())].1;
                let from = random.random_range(0..=other.len());
                input.truncate(at);
                input.extend_from_slice(&other[from..]);
            }
        }
        input.truncate(LONGEST);
    }
    input
}

fn insert(input: &mut Vec<u8>, at: usize, piece: &[u8]) {
    input.splice(at..at, piece.iter().copied());
}
