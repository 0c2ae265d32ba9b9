//! The store of positions against a process that dies in the middle of a write.

#![expect(clippy::disallowed_methods, reason = "a child is told by its environment where to write")]

use std::env;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use uuid::Uuid;
use wavesoak::driver::store::{self, Store};
use wavesoak::positions::image::Layout;

/// Slots of 8 MB, which are not written in no time.
const LAYOUT: Layout = Layout { run: Uuid::from_u128(7), clients: 1_000_000 };
const PLACE: &str = "WAVESOAK_TEST_STORE";

#[test]
fn whoever_is_killed_in_the_middle_of_a_write_leaves_a_whole_state() {
    // This very test is its own child, which is told where to write.
    if let Some(path) = env::var_os(PLACE) {
        return write_until_killed(Path::new(&path));
    }
    let mut torn = 0;
    for round in 0..12 {
        let place = tempfile::tempdir().expect("a place");
        let path = place.path().join(store::FILE);
        let mut writer = Command::new(env::current_exe().expect("this test"))
            .args([
                "--exact",
                "whoever_is_killed_in_the_middle_of_a_write_leaves_a_whole_state",
                "--nocapture",
            ])
            .env(PLACE, &path)
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts");
        let lines = BufReader::new(writer.stdout.take().expect("piped")).lines().map_while(Result::ok);
        let mut durable = lines.filter_map(|line| line.rsplit_once("durable ")?.1.trim().parse::<u64>().ok());
        let seen = durable.nth(2 + round % 4).expect("it writes");
        wait_for_the_first_bytes_of(seen + 1, &path, &mut writer);
        writer.kill().expect("it still writes");
        writer.wait().expect("it is dead");
        // What it said before it died.
        let told = durable.last().unwrap_or(seen);

        let image = store::load(&path, &LAYOUT).expect("a file");
        let state = image.state.expect("one slot is whole");
        assert!(image.broken <= 1 && state.generation >= told, "{} after {told}", state.generation);
        // Every flush holds one position for everybody: nothing of another flush is in it.
        assert!(state.positions.iter().all(|&position| position == state.generation + 1));
        torn += image.broken;
    }
    println!("{torn} of 12 writes were torn");
}

/// Looks at the file until the next write to it has begun.
fn wait_for_the_first_bytes_of(generation: u64, path: &Path, writer: &mut Child) {
    let file = File::open(path).expect("a file");
    let mut head = [0; 36];
    while writer.try_wait().expect("ours").is_none() {
        for _ in 0..1_000 {
            file.read_exact_at(&mut head, LAYOUT.offset_of(generation) as u64).expect("its full size");
            // The generation is the last thing in it.
            if u64::from_le_bytes(head[28..].try_into().expect("eight bytes")) >= generation {
                return;
            }
        }
    }
    panic!("it writes no more");
}

fn write_until_killed(path: &Path) {
    let store = Store::begin(path, LAYOUT.run, LAYOUT.clients).expect("a store");
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(async {
        for generation in 0..1_000 {
            let flush = (0..LAYOUT.clients).map(|client| (client, generation + 1)).collect();
            store.flush(flush).await.1.expect("written");
            println!("durable {generation}");
        }
    });
}
