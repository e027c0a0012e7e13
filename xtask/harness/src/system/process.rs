//! Child processes, which end with this process, and their logs.

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, IsTerminal, Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, OnceLock, mpsc};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::sync::watch;

/// Size at which a log file is rotated. The previous one is kept.
const MAX_LOG_BYTES: u64 = 16 * 1024 * 1024;

/// The destination of a child's output.
#[derive(Clone, Debug)]
pub(crate) struct Log {
    pub(crate) file: PathBuf,
    /// The lines that are also printed on standard error.
    pub(crate) show: Show,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Show {
    Everything,
    /// MariaDB logs many notes at each start.
    Warnings,
    Nothing,
}

/// A running child, or one that has ended.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) name: String,
    pub(crate) log: PathBuf,
    pid: Pid,
    ended: watch::Receiver<Option<ExitStatus>>,
}

impl Process {
    /// Starts `program` under `name`.
    ///
    /// The child has its own process group, so that Ctrl-C does not stop it, and programs can be stopped in order.
    /// `setpriv` makes the kernel send SIGTERM if this process is killed.
    pub(crate) fn spawn(
        name: &str,
        program: &Path,
        set_up: impl FnOnce(&mut Command),
        log: &Log,
    ) -> Result<Self> {
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "TERM", "--"])
            .arg(program)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        set_up(&mut command);

        let mut child = spawn_from_lasting_thread(command)
            .with_context(|| format!("could not start {name} ({})", program.display()))?;
        let pid = Pid::from_raw(i32::try_from(child.id()).expect("a process id fits"));

        let sink = Arc::new(Mutex::new(Sink::open(name, log)?));
        let readers = [
            read_lines(child.stdout.take(), Arc::clone(&sink)),
            read_lines(child.stderr.take(), sink),
        ];
        let (ending, ended) = watch::channel(None);
        std::thread::spawn(move || {
            let status = child.wait();
            // Wait for the last lines of the log before reporting the end.
            for reader in readers.into_iter().flatten() {
                let _ = reader.join();
            }
            ending.send_replace(Some(status.unwrap_or_else(|_| ExitStatus::from_raw(0))));
        });
        Ok(Self {
            name: name.to_owned(),
            log: log.file.clone(),
            pid,
            ended,
        })
    }

    /// Returns the exit status; `None` while the process runs.
    pub(crate) fn ended(&self) -> Option<ExitStatus> {
        *self.ended.borrow()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        // Ignore errors, because the process may have ended.
        if self.ended().is_none() {
            let _ = kill(self.pid, signal);
        }
    }

    /// Waits until the process ends. Returns false after the timeout.
    pub(crate) async fn ends_within(&self, time: Duration) -> bool {
        let mut ended = self.ended.clone();
        let ending = async { ended.wait_for(Option::is_some).await.is_ok() };
        tokio::time::timeout(time, ending).await.unwrap_or(false)
    }

    /// Waits until the process is ready. Fails if it ends before.
    pub(crate) async fn unless_it_ends<T>(&self, ready: impl Future<Output = Result<T>>) -> Result<T> {
        let mut ended = self.ended.clone();
        tokio::select! {
            biased;
            _ = ended.wait_for(Option::is_some) => Err(self.failure("stopped while it was starting")),
            ready = ready => ready.map_err(|error| self.failure(&format!("is not ready ({error})"))),
        }
    }

    /// Sends SIGTERM, and kills the process after `limit`.
    pub(crate) async fn stop(&self, limit: Duration) {
        // A paused process handles the signal only after it resumes.
        self.signal(Signal::SIGTERM);
        self.signal(Signal::SIGCONT);
        if !self.ends_within(limit).await {
            eprintln!(
                "{} did not stop within {} s and was killed",
                self.name,
                limit.as_secs()
            );
            self.signal(Signal::SIGKILL);
            self.ends_within(Duration::from_secs(5)).await;
        }
    }

    /// Stops a process as [`Process::stop`], without async.
    pub(crate) fn stop_blocking(&self, signal: Signal, limit: Duration) {
        self.signal(signal);
        self.signal(Signal::SIGCONT);
        let deadline = Instant::now() + limit;
        while self.ended().is_none() {
            if Instant::now() > deadline {
                self.signal(Signal::SIGKILL);
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Returns an error with the exit status and the last lines of the log.
    pub(crate) fn failure(&self, what: &str) -> anyhow::Error {
        let how = match self.ended() {
            Some(status) => format!(" ({status})"),
            None => String::new(),
        };
        anyhow!(
            "{} {what}{how}. Its last lines, from {}:\n{}",
            self.name,
            self.log.display(),
            last_lines(&self.log, 12)
        )
    }
}

/// Returns the last lines of a log file, indented.
pub(crate) fn last_lines(file: &Path, count: usize) -> String {
    let text = fs::read(file).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<_> = text.lines().collect();
    let end: Vec<_> = lines[lines.len().saturating_sub(count)..]
        .iter()
        .map(|line| format!("  {line}"))
        .collect();
    end.join(
        "
",
    )
}

/// Starts a child from a thread that lives as long as the process. The kernel sends the signal of `--pdeathsig` when
/// the thread that started the child ends, and threads of tests end early.
fn spawn_from_lasting_thread(command: Command) -> std::io::Result<std::process::Child> {
    type Job = (Command, mpsc::Sender<std::io::Result<std::process::Child>>);
    static JOBS: OnceLock<mpsc::Sender<Job>> = OnceLock::new();
    let jobs = JOBS.get_or_init(|| {
        let (jobs, queue) = mpsc::channel::<Job>();
        std::thread::spawn(move || {
            for (mut command, answer) in queue {
                let _ = answer.send(command.spawn());
            }
        });
        jobs
    });
    let (answer, answered) = mpsc::channel();
    jobs.send((command, answer))
        .expect("the thread that starts children never ends");
    answered.recv().expect("the thread that starts children answers")
}

fn read_lines<R: Read + Send + 'static>(
    pipe: Option<R>,
    sink: Arc<Mutex<Sink>>,
) -> Option<std::thread::JoinHandle<()>> {
    let mut lines = BufReader::new(pipe?);
    Some(std::thread::spawn(move || {
        let mut line = Vec::new();
        while lines.read_until(b'\n', &mut line).is_ok_and(|count| count > 0) {
            let text = String::from_utf8_lossy(&line);
            if let Ok(mut sink) = sink.lock() {
                sink.line(text.trim_end());
            }
            line.clear();
        }
    }))
}

struct Sink {
    file: File,
    prefix: String,
    show: Show,
}

impl Sink {
    fn open(name: &str, log: &Log) -> Result<Self> {
        if fs::metadata(&log.file).is_ok_and(|data| data.len() > MAX_LOG_BYTES) {
            fs::rename(&log.file, log.file.with_extension("log.1"))?;
        }
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&log.file)
            .with_context(|| format!("could not open the log {}", log.file.display()))?;
        Ok(Self {
            file,
            prefix: prefix(name),
            show: log.show,
        })
    }

    fn line(&mut self, line: &str) {
        // Ignore errors, so that a full disk does not stop the system.
        let _ = writeln!(self.file, "{line}");
        let shown = match self.show {
            Show::Everything => true,
            Show::Warnings => line.contains("[Warning]") || line.contains("[ERROR]"),
            Show::Nothing => false,
        };
        if shown {
            eprintln!("{}{line}", self.prefix);
        }
    }
}

/// `photo          │ `, coloured on a terminal.
fn prefix(name: &str) -> String {
    let padded = format!("{name:<14}");
    if std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none() {
        let colour = 31 + name.bytes().map(usize::from).sum::<usize>() % 6;
        format!("\x1b[{colour}m{padded}\x1b[0m │ ")
    } else {
        format!("{padded} | ")
    }
}
