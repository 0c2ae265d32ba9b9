//! One command as a child process: bounded in time and in what is kept of its output.

use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::{Child, Command};
use tokio::time::{Instant, timeout};

use crate::collector::collected::HookEnd;

/// Bytes kept of a command's output; the rest is read and let go.
const OUTPUT_MAX: usize = 8 * 1024;
/// What has been written may still be read for this long when the command has ended: somebody in the background may hold
/// its output open for good.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// A command that was run, or was not.
#[derive(Debug)]
pub(super) struct Ran {
    pub(super) end: HookEnd,
    /// Its exit code; `None`: it has none.
    pub(super) exit: Option<i32>,
    pub(super) took: Duration,
    /// The beginning of its output, stdout and stderr as they came.
    pub(super) output: Vec<u8>,
    /// Bytes beyond.
    pub(super) unkept: u64,
    /// Why it did not start.
    pub(super) error: Option<io::Error>,
}

/// Runs it to its end; one that takes longer than `patience` is killed, with all that it has started in its process group.
#[expect(
    clippy::disallowed_methods,
    reason = "what a command takes is measured, and has nothing to do with the plan"
)]
pub(super) async fn run(argv: &[String], patience: Duration, names: &[(&str, &str)]) -> Ran {
    let began = Instant::now();
    let mut ran = Ran {
        end: HookEnd::NotStarted,
        exit: None,
        took: Duration::ZERO,
        output: Vec::new(),
        unkept: 0,
        error: None,
    };
    match start(argv, names) {
        Ok(mut child) => watch(&mut child, patience, &mut ran).await,
        Err(error) => ran.error = Some(error),
    }
    ran.took = began.elapsed();
    ran
}

fn start(argv: &[String], names: &[(&str, &str)]) -> io::Result<Child> {
    let (program, arguments) = argv.split_first().ok_or(io::ErrorKind::InvalidInput)?;
    Command::new(program)
        .args(arguments)
        .envs(names.iter().copied())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // A terminal's Ctrl-C is the harness's to handle, and a command that hangs dies with what it has started.
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
}

async fn watch(child: &mut Child, patience: Duration, ran: &mut Ran) {
    let (mut out, mut err) = (child.stdout.take(), child.stderr.take());
    let group = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
    let (output, unkept) = (&mut ran.output, &mut ran.unkept);
    let mut reading = std::pin::pin!(read_both(&mut out, &mut err, output, unkept));
    let mut read = false;
    let waited = timeout(patience, async {
        loop {
            tokio::select! {
                status = child.wait() => return status,
                () = &mut reading, if !read => read = true,
            }
        }
    });
    let waited = waited.await;
    if waited.is_err() {
        // A group that has ended by itself in this moment is as good as one that was killed.
        let _ = group.map(|group| kill_process_group(group, Signal::KILL));
        let _ = child.wait().await;
    }
    if !read {
        // Whoever holds the output open beyond this is not waited for.
        let _ = timeout(LAST_WORDS, reading).await;
    }
    match waited {
        Err(_) => ran.end = HookEnd::TimedOut,
        Ok(Ok(status)) => {
            ran.exit = status.code();
            ran.end = if ExitStatus::success(&status) { HookEnd::Done } else { HookEnd::Failed };
        }
        Ok(Err(error)) => {
            ran.end = HookEnd::Failed;
            ran.error = Some(error);
        }
    }
}

async fn read_both(
    out: &mut Option<impl AsyncRead + Unpin>,
    err: &mut Option<impl AsyncRead + Unpin>,
    kept: &mut Vec<u8>,
    unkept: &mut u64,
) {
    let (mut first, mut second) = ([0; 4096], [0; 4096]);
    while out.is_some() || err.is_some() {
        let piece = tokio::select! {
            read = read(out, &mut first) => &first[..read],
            read = read(err, &mut second) => &second[..read],
        };
        let room = OUTPUT_MAX.saturating_sub(kept.len()).min(piece.len());
        kept.extend_from_slice(&piece[..room]);
        *unkept += (piece.len() - room) as u64;
    }
}

/// One read; never returns when there is nothing to read from, and forgets what has come to its end.
async fn read(from: &mut Option<impl AsyncRead + Unpin>, into: &mut [u8]) -> usize {
    let Some(open) = from else { return std::future::pending().await };
    let read = open.read(into).await.unwrap_or(0);
    if read == 0 {
        *from = None;
    }
    read
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ran(line: &str, patience: Duration) -> Ran {
        let argv = ["/bin/sh", "-c", line].map(str::to_owned);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(run(&argv, patience, &[("WAVESOAK_FAULT", "restart")]))
    }

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn a_command_is_run_with_its_arguments_and_its_end_is_told() {
        let good = ran("echo to $WAVESOAK_FAULT; echo aside >&2", LONG);
        assert_eq!((good.end, good.exit), (HookEnd::Done, Some(0)));
        let output = String::from_utf8(good.output).expect("text");
        assert!(output.contains("to restart\n") && output.contains("aside\n"), "{output}");
        let bad = ran("exit 7", LONG);
        assert_eq!((bad.end, bad.exit), (HookEnd::Failed, Some(7)));
        let killed = ran("kill -9 $$", LONG);
        assert_eq!((killed.end, killed.exit), (HookEnd::Failed, None));
    }

    #[test]
    fn what_is_no_program_did_not_start() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let none = runtime.block_on(run(&["/no/such/program".to_owned()], LONG, &[]));
        assert_eq!((none.end, none.exit), (HookEnd::NotStarted, None));
        assert!(none.error.is_some());
    }

    #[test]
    fn a_command_that_takes_too_long_is_killed_with_what_it_has_started() {
        let place = tempfile::tempdir().expect("a place");
        let file = place.path().join("pid");
        let line = format!("sleep 600 & echo $! > {}; wait", file.display());
        let late = ran(&line, Duration::from_millis(500));
        assert_eq!((late.end, late.exit), (HookEnd::TimedOut, None));
        #[expect(clippy::disallowed_methods, reason = "the test's own file")]
        let pid = std::fs::read_to_string(file).expect("it began");
        let pid = Pid::from_raw(pid.trim().parse().expect("a number")).expect("not 0");
        // Killed; it goes when the kernel gets round to it, and is buried by whoever inherited it.
        #[expect(clippy::disallowed_methods, reason = "a process of ours, which is about to go")]
        let stat =
            || std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap_or_default();
        while rustix::process::test_kill_process(pid).is_ok() && !stat().contains(") Z ") {
            std::thread::yield_now();
        }
    }

    #[test]
    fn output_without_end_is_bounded_and_whoever_holds_it_open_is_not_waited_for() {
        let loud = ran("head -c 100000 /dev/zero", LONG);
        assert_eq!(
            (loud.output.len(), loud.unkept, loud.end),
            (OUTPUT_MAX, 100_000 - OUTPUT_MAX as u64, HookEnd::Done)
        );
        let left = ran("sleep 5 & echo here", LONG);
        assert_eq!((left.end, left.output), (HookEnd::Done, b"here\n".to_vec()));
    }
}
