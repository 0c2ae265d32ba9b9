//! The command line as a script sees it: what is printed where, and how it exits.
#![expect(clippy::disallowed_methods, reason = "profiles and run directories are files")]

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::Stdio;

use assert_cmd::Command;
use wavesoak::driver::store;
use wavesoak::positions::image::Layout;

/// What came back.
struct Said {
    code: i32,
    stdout: String,
    stderr: String,
}

fn wavesoak(arguments: &[&str]) -> Said {
    let mut command = Command::cargo_bin("wavesoak").expect("the binary is built");
    let output = command.args(arguments).env_remove("NO_COLOR").output().expect("it runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    Said {
        code: output.status.code().expect("an exit code"),
        stdout: text(output.stdout),
        stderr: text(output.stderr),
    }
}

fn profile(directory: &Path, toml: &str) -> String {
    let path = directory.join("mine.toml");
    fs::write(&path, toml).expect("written");
    path.to_string_lossy().into_owned()
}

const PHASE: &str = "[[phase]]\nduration = \"5s\"\nclients = \"100%\"\n";

#[test]
fn help_is_an_answer_and_no_arguments_are_an_error() {
    let help = wavesoak(&["--help"]);
    assert_eq!((help.code, help.stderr.as_str()), (0, ""));
    for word in ["run", "target", "profile", "Exit codes", "130 interrupted", "wavesoak run smoke"] {
        assert!(help.stdout.contains(word), "{word}: {}", help.stdout);
    }
    let nothing = wavesoak(&[]);
    assert_eq!((nothing.code, nothing.stdout.as_str()), (2, ""));
    assert_eq!(wavesoak(&["--version"]).stdout, format!("wavesoak {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn a_command_that_is_not_built_does_not_appear() {
    let help = wavesoak(&["--help"]).stdout;
    let commands =
        help.split("Commands:").nth(1).and_then(|rest| rest.split("Options:").next()).expect("a list");
    let names: Vec<&str> = commands.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(names, ["run", "target", "probe", "selftest", "cleanup", "size", "profile", "help"]);
}

#[test]
fn the_help_of_run_lists_the_built_in_profiles_and_fits_a_page() {
    let help = wavesoak(&["run", "--help"]).stdout;
    for word in ["smoke", "reconnect-storm", "soak", "--confirm-target", "inconclusive"] {
        assert!(help.contains(word), "{word}: {help}");
    }
    let widest = help.lines().map(|line| line.chars().count()).max();
    assert!(widest <= Some(100), "{widest:?}");
}

#[test]
fn an_unknown_option_is_a_usage_error() {
    let said = wavesoak(&["run", "smoke", "--allow-anything"]);
    assert_eq!((said.code, said.stdout.as_str()), (2, ""));
    assert!(said.stderr.contains("--allow-anything"), "{}", said.stderr);
}

#[test]
fn a_sizing_of_timeouts_says_what_is_wrong_with_what_it_is_asked() {
    let target = ["size", "lb-timeout", "--target", "http://127.0.0.1:9"];
    for (bad, words) in [
        (&["--up-to", "1s"][..], "write 3s to 1h"),
        (&["--listen", "95"], "95"),
        (&["--factor", "1"], "write \"3\" or \"2.5..3\""),
        (&["--load", "50/s"], "write 0.1/s to 10/s"),
        (&["--key-file", "k", "--credentials", "c"], "cannot be used with"),
    ] {
        let said = wavesoak(&[&target[..], bad].concat());
        assert_eq!((said.code, said.stdout.as_str()), (2, ""), "{bad:?}");
        assert!(said.stderr.contains(words), "{words}: {}", said.stderr);
    }
    assert_eq!(wavesoak(&["size", "lb-timeout"]).code, 2, "without a target");
    let elsewhere = wavesoak(&["size", "lb-timeout", "--target", "https://chat.example.com"]);
    assert_eq!(elsewhere.code, 2);
    assert!(elsewhere.stderr.contains("--confirm-target chat.example.com"), "{}", elsewhere.stderr);
}

#[test]
fn a_probe_that_cannot_begin_says_why_and_exits_2() {
    let place = tempfile::tempdir().expect("a place");
    let (few, key) = (place.path().join("few.csv"), place.path().join("key"));
    fs::write(&few, "tenant_id,username,password\nt,a,x\nt,b,x\n").expect("written");
    fs::write(&key, "key").expect("written");
    let (few, key) = (few.to_string_lossy().into_owned(), key.to_string_lossy().into_owned());
    let nobody = "http://127.0.0.1:9";
    for (arguments, words) in [
        (&[nobody, "--key-file", &key][..], "failed to reach the target at 127.0.0.1:9"),
        (&[nobody, "--credentials", &few], "few.csv` (auth.credentials): its first tenant has 2"),
        (&["https://chat.example.com", "--key-file", &key], "--confirm-target chat.example.com"),
        (&[nobody, "--key-file", &key, "--listen", "95"], "--listen 95"),
        (&[nobody, "--key-file", &key, "--listen", "2h"], "between 1s and 1h"),
        (&[nobody, "--key-file", &key, "--only", "drop"], "'drops'"),
        (&[nobody, "--key-file", &key, "--set", "client.lateness=1s"], "`client.lateness`"),
    ] {
        let said = wavesoak(&[&["probe"], arguments].concat());
        assert_eq!((said.code, said.stdout.as_str()), (2, ""), "{arguments:?}: {}", said.stderr);
        assert!(said.stderr.contains(words), "{words}: {}", said.stderr);
    }
}

#[test]
fn a_mistyped_row_of_the_selftest_gets_the_one_that_was_meant() {
    let said = wavesoak(&["selftest", "lose-in-stor"]);
    assert_eq!((said.code, said.stdout.as_str()), (2, ""));
    assert!(said.stderr.contains("lose-in-store"), "{}", said.stderr);
    let list = wavesoak(&["selftest", "--list"]);
    assert_eq!((list.code, list.stdout.lines().count()), (0, wavesoak::selftest::rows().len()));
}

#[test]
fn a_selftest_on_a_machine_that_is_too_small_says_so_and_blames_no_row() {
    let scratch = tempfile::tempdir().expect("a place");
    let line = format!("ulimit -n 128; exec {} selftest clean --keep .", env!("CARGO_BIN_EXE_wavesoak"));
    let output = std::process::Command::new("/bin/sh")
        .args(["-c", &line])
        .current_dir(scratch.path())
        .output()
        .expect("a shell");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(
        output.stdout.is_empty() && said.contains("RLIMIT_NOFILE") && !said.contains("NOT EXACT"),
        "{said}"
    );
}

#[test]
fn wrong_profiles_say_what_is_wrong_where() {
    let place = tempfile::tempdir().expect("a place");
    for (toml, words) in [
        (format!("{PHASE}[client]\nbridg = \"x\"\n"), &["`client.bridg`", "no such key"][..]),
        (PHASE.replace("\"5s\"", "5"), &["`phase.0.duration` = 5", "bare number", "\"5s\""]),
        (format!("{PHASE}[traffic]\npayload = \"20B\"\n"), &["`traffic.payload`", "smaller than the stamp"]),
        (PHASE.replace("100%", "120%"), &["`phase.0.clients`"]),
        (PHASE.replace("\"5s\"", "\"0s\""), &["`phase.0.duration`", "no time"]),
        ("x".to_owned(), &["line 1"]),
    ] {
        let path = profile(place.path(), &toml);
        for command in [&["profile", "check"][..], &["run"]] {
            let said = wavesoak(&[command, &[path.as_str()]].concat());
            assert_eq!((said.code, said.stdout.as_str()), (2, ""), "{toml}: {}", said.stderr);
            assert!(said.stderr.starts_with("error: failed to "), "{}", said.stderr);
            for word in words {
                assert!(said.stderr.contains(word), "{word}: {}", said.stderr);
            }
        }
    }
    assert_eq!(fs::read_dir(place.path()).expect("a directory").count(), 1, "no run directory was made");
}

#[test]
fn an_unknown_profile_is_answered_with_those_there_are() {
    let said = wavesoak(&["run", "smokey"]);
    assert_eq!(said.code, 2);
    assert!(
        said.stderr.contains("reconnect-storm") && said.stderr.contains("did you mean `smoke`?"),
        "{}",
        said.stderr
    );
}

#[test]
fn profiles_can_be_checked_shown_and_explained() {
    let checked = wavesoak(&["profile", "check", "smoke"]);
    assert_eq!((checked.code, checked.stdout.as_str()), (0, "smoke: nothing is wrong\n"));
    let shown = wavesoak(&["profile", "show", "smoke", "--set", "client.bridge=stream-first", "--seed", "9"]);
    assert_eq!(shown.code, 0);
    assert!(shown.stdout.contains("bridge = \"stream-first\"\n") && shown.stdout.contains("seed = 9\n"));
    let place = tempfile::tempdir().expect("a place");
    let again = wavesoak(&["profile", "show", &profile(place.path(), &shown.stdout)]);
    assert_eq!(again.stdout, shown.stdout, "what is shown is a profile itself");
    let reference = wavesoak(&["profile", "reference"]);
    assert!(reference.stdout.contains("[[phase]]"));
}

#[test]
fn a_dry_run_says_what_the_run_would_cost() {
    let said = wavesoak(&["run", "smoke", "--dry-run", "--clients", "120"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    for line in ["clients               120 in", "logins                120", "commands run          0"] {
        assert!(said.stdout.contains(line), "{line}: {}", said.stdout);
    }
    let said = wavesoak(&["run", "smoke", "--dry-run", "--clients", "120", "--format", "json"]);
    let cost: serde_json::Value = serde_json::from_str(&said.stdout).expect("JSON");
    assert_eq!(cost["cost"]["clients"], 120);
    assert_eq!(cost["cost"]["logins"], 120);
    assert!(cost["cost"]["deliveries"]["count"].as_u64() > cost["cost"]["publishes"]["count"].as_u64());
    assert_eq!(cost["machine"]["descriptors"][0]["process"], "the harness");
}

#[test]
fn a_dry_run_makes_no_directory() {
    let place = tempfile::tempdir().expect("a place");
    let out = place.path().join("reports");
    let said = wavesoak(&["run", "smoke", "--dry-run", "--out", &out.to_string_lossy()]);
    assert_eq!(said.code, 0);
    assert!(!out.exists());
}

/// The names do not resolve and nothing listens there: a harness that tried would fail otherwise, and later.
#[test]
fn a_host_that_is_not_this_machine_needs_its_confirmation() {
    let quiet = ["--clients", "60", "--set", "traffic.rate=5/s", "--set", "auth.key_file=none.key"];
    let run = |more: &[&str]| {
        let target = ["run", "smoke", "--dry-run", "--target", "https://chat.example.com"];
        wavesoak(&[&target[..], &quiet, more].concat())
    };
    let refused = run(&[]);
    assert_eq!((refused.code, refused.stdout.as_str()), (2, ""));
    assert!(refused.stderr.contains("--confirm-target chat.example.com"), "{}", refused.stderr);
    let other = run(&["--confirm-target", "example.com"]);
    assert_eq!(other.code, 2);
    let confirmed = run(&["--confirm-target", "chat.example.com"]);
    assert_eq!(confirmed.code, 0, "{}", confirmed.stderr);
    assert!(confirmed.stdout.contains("target chat.example.com · nothing is sent"), "{}", confirmed.stdout);
    assert!(confirmed.stderr.contains("limits.logins = 5/s"), "{}", confirmed.stderr);
}

#[test]
fn limits_off_loopback_are_raised_in_the_file_alone() {
    let target = ["run", "smoke", "--dry-run", "--target", "https://chat.example.com"];
    let confirmed = ["--confirm-target", "chat.example.com", "--set", "auth.key_file=none.key"];
    let many = wavesoak(&[&target[..], &confirmed, &["--clients", "501"]].concat());
    assert_eq!(many.code, 2);
    assert!(many.stderr.contains("population.clients is 501, and limits.clients is 500"), "{}", many.stderr);
    let sneaky = ["--clients", "501", "--set", "limits.clients=1000"];
    let refused = wavesoak(&[&target[..], &confirmed, &sneaky].concat());
    assert_eq!(refused.code, 2);
    assert!(refused.stderr.contains("limits"), "{}", refused.stderr);
    let place = tempfile::tempdir().expect("a place");
    let file = profile(
        place.path(),
        "[[phase]]\nduration = \"20s\"\nclients = \"100%\"\n[traffic]\nrate = \"5/s\"\n[auth]\nkey_file = \"k\"\n\
         [population]\nclients = 501\n[limits]\nclients = 600\n[target]\nallow = [\"chat.example.com\"]\n",
    );
    let said = wavesoak(&["run", &file, "--dry-run", "--target", "https://chat.example.com"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
}

#[test]
fn colour_is_for_terminals() {
    for said in [wavesoak(&["run", "nowhere.toml"]), wavesoak(&["run", "smoke", "--dry-run"])] {
        assert!(
            !said.stdout.contains('\x1b') && !said.stderr.contains('\x1b'),
            "{}{}",
            said.stdout,
            said.stderr
        );
    }
}

#[test]
fn a_target_that_nobody_serves_is_a_preflight_error() {
    let place = tempfile::tempdir().expect("a place");
    let key = place.path().join("key");
    fs::write(&key, "not much of a key").expect("written");
    let (out, key) = (place.path().join("reports"), format!("auth.key_file={}", key.display()));
    // Port 1 of loopback: reserved, and nobody's.
    let said = wavesoak(&[
        "run",
        "smoke",
        "--clients",
        "12",
        "--target",
        "http://127.0.0.1:1",
        "--set",
        &key,
        "--out",
        &out.to_string_lossy(),
    ]);
    assert_eq!((said.code, said.stdout.as_str()), (2, ""), "{}", said.stderr);
    assert!(said.stderr.contains("error: failed to reach the target at 127.0.0.1:1"), "{}", said.stderr);
    assert!(!said.stderr.contains("not much of a key"));
}

/// Small, quick, against the embedded target.
const QUICK: &str = "
name = \"quick\"
[target.embedded]
pods = 1
[auth]
login_rate = \"500/s\"
[population]
tenants = 2
clients = 20
members_per_room = 5
[[phase]]
name = \"ramp\"
duration = \"1s\"
clients = \"100%\"
[[phase]]
name = \"hold\"
duration = \"2s\"
[traffic]
rate = \"20/s\"
[client]
lateness_bound = \"500ms\"
[drain]
deadline = \"20s\"
";

#[test]
fn a_run_prints_its_verdict_and_leaves_its_directory() {
    let place = tempfile::tempdir().expect("a place");
    let file = profile(place.path(), QUICK);
    let out = place.path().join("reports");
    let said = wavesoak(&["run", &file, "--out", &out.to_string_lossy(), "--format", "json"]);
    let summary: serde_json::Value = serde_json::from_str(&said.stdout).expect("stdout is JSON alone");
    assert_eq!((said.code, &summary["verdict"]), (0, &"passed".into()), "{}\n{}", said.stderr, said.stdout);
    let directories: Vec<_> =
        fs::read_dir(&out).expect("made").map(|entry| entry.expect("an entry").path()).collect();
    let [directory] = directories.as_slice() else { panic!("{directories:?}") };
    let written = fs::read_to_string(directory.join("summary.json")).expect("written");
    assert_eq!(written, said.stdout);
    assert!(directory.file_name().is_some_and(|name| name.to_string_lossy().starts_with("quick-")));
    let shown = fs::read_to_string(directory.join("profile.toml")).expect("written");
    assert!(shown.contains("rate = \"20/s\""), "{shown}");
    assert!(said.stderr.lines().any(|line| line.contains("20 of 20 live")), "{}", said.stderr);
}

#[test]
fn an_output_directory_that_cannot_be_made_is_a_preflight_error() {
    let place = tempfile::tempdir().expect("a place");
    let file = profile(place.path(), QUICK);
    // A file is no directory to make another one in, not even for root.
    let out = format!("{file}/reports");
    let said = wavesoak(&["run", &file, "--out", &out]);
    assert_eq!((said.code, said.stdout.as_str()), (2, ""), "{}", said.stderr);
    assert!(said.stderr.contains(&format!("error: failed to create `{out}`")), "{}", said.stderr);
}

#[test]
fn an_interrupted_run_drains_and_reports_what_it_has() {
    let place = tempfile::tempdir().expect("a place");
    let file = profile(place.path(), &QUICK.replace("\"2s\"", "\"10m\""));
    let out = place.path().join("reports");
    let mut run = std::process::Command::new(env!("CARGO_BIN_EXE_wavesoak"))
        .args(["run", &file, "--format", "json", "--out"])
        .arg(&out)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it runs");
    let mut talk = BufReader::new(run.stderr.take().expect("piped")).lines();
    let held =
        talk.any(|line| line.is_ok_and(|line| line.contains(" hold · ") && line.contains("20 of 20 live")));
    assert!(held, "it never held its clients");
    rustix::process::kill_process(rustix::process::Pid::from_child(&run), rustix::process::Signal::INT)
        .expect("it still runs");
    let rest: Vec<String> = talk.map_while(Result::ok).collect();
    let output = run.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(130), "{rest:#?}");
    let summary: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(summary["harness"]["interrupted"], true);
    assert_eq!(summary["partial"], false, "its books are closed all the same");
    assert_eq!(summary["imbalances"], serde_json::json!([]));
    assert_eq!(summary["verdict"], "inconclusive", "{}", summary["objectives"]);
    assert!(fs::read_dir(&out).expect("made").count() == 1);
}

/// Of the one run in there, so far.
fn flushes(reports: &Path) -> u64 {
    let so_far = || {
        let directory = fs::read_dir(reports).ok()?.next()?.ok()?.path();
        let summary: serde_json::Value =
            serde_json::from_str(&fs::read_to_string(directory.join("summary.json")).ok()?).ok()?;
        summary["harness"]["flushes"]["count"].as_u64()
    };
    so_far().unwrap_or(0)
}

#[test]
fn a_run_that_is_killed_leaves_a_store_of_positions_that_loads() {
    let place = tempfile::tempdir().expect("a place");
    let quick = QUICK.replace("\"2s\"", "\"10m\"").replace("\"20/s\"", "\"200/s\"");
    let file = profile(place.path(), &quick.replace("[client]", "[client]\nflush_interval = \"100ms\""));
    let out = place.path().join("reports");
    let mut run = std::process::Command::new(env!("CARGO_BIN_EXE_wavesoak"))
        .args(["run", &file, "--out"])
        .arg(&out)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it runs");
    let talk = BufReader::new(run.stderr.take().expect("piped")).lines();
    let mut held = talk.map_while(Result::ok).filter(|line| line.contains(" hold · "));
    // So many flushes that either slot was written again and again, however slow the machine is.
    assert!(held.any(|_| flushes(&out) >= 10), "it never held its clients, or never flushed");
    run.kill().expect("it still runs");
    run.wait().expect("it is dead");

    let directory = fs::read_dir(&out).expect("made").next().expect("one").expect("an entry").path();
    let summary = fs::read_to_string(directory.join("summary.json")).expect("of the interval before");
    let summary: serde_json::Value = serde_json::from_str(&summary).expect("whole");
    let id = summary["run_id"].as_str().and_then(|id| id.parse().ok()).expect("an id");
    let image = store::load(&directory.join(store::FILE), &Layout { run: id, clients: 20 }).expect("a file");
    assert!(image.broken <= 1, "one slot may be torn: {image:?}");
    let state = image.state.expect("the other one is whole");
    assert!(state.generation >= 10 && state.positions.iter().all(|&position| position > 0), "{state:?}");
    // Nobody else's, and not with any other number of clients.
    let others = Layout { run: uuid::Uuid::nil(), clients: 20 };
    let image = store::load(&directory.join(store::FILE), &others).expect("a file");
    assert_eq!((image.state, image.broken), (None, 2));
}

#[test]
fn the_example_profiles_for_deployments_are_good_and_say_what_they_would_cost() {
    let deploy = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy");
    for (name, rooms) in [
        ("staging.toml", "rooms made            12, with 120 joins"),
        ("observe.toml", "deliveries            not known: others publish"),
    ] {
        let path = deploy.join(name).to_string_lossy().into_owned();
        let said = wavesoak(&["profile", "check", &path]);
        assert_eq!((said.code, said.stderr.as_str()), (0, ""), "{name}");
        let cost = wavesoak(&["run", &path, "--dry-run"]);
        assert_eq!(cost.code, 0, "{name}: {}", cost.stderr);
        assert!(cost.stdout.contains(rooms), "{name}: {}", cost.stdout);
    }
}

#[test]
fn a_cleanup_says_what_it_would_go_by() {
    let place = tempfile::tempdir().expect("a place");
    let path = profile(place.path(), PHASE);
    let cleanup = |more: &[&str]| wavesoak(&[&["cleanup", path.as_str()], more].concat());
    let target = ["--target", "http://127.0.0.1:9"];
    for (more, words) in [
        (&[][..], "the embedded target ends with its rooms"),
        (&target[..], "population.kept_rooms"),
        (&[&target[..], &["--set", "population.rooms=x.csv"]].concat()[..], "nothing is ever made"),
        (&["--target", "http://192.0.2.7"][..], "--confirm-target"),
    ] {
        let said = cleanup(more);
        assert_eq!((said.code, said.stdout.as_str()), (2, ""), "{more:?}");
        assert!(said.stderr.contains(words), "{more:?}: {}", said.stderr);
    }
    let kept = format!("population.kept_rooms={}", place.path().join("kept").display());
    let looked = cleanup(&[&target[..], &["--set", &kept, "--dry-run"]].concat());
    assert_eq!(looked.code, 0, "{}", looked.stderr);
    assert!(looked.stdout.contains("remembers no such rooms of this target"), "{}", looked.stdout);
    assert!(!place.path().join("kept").exists(), "a look makes no file");
}
