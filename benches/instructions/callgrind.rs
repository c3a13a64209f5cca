//! Runs this binary under callgrind and reads what came of it.
//!
//! The environment is cleared and the case plays on one thread, so that two runs differ by no more
//! than the seeds of hash tables.

use std::hint::black_box;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::process::{Command, Output};

use crate::cases::Case;

/// The argument with which this binary plays a case under callgrind.
pub(crate) const PLAY: &str = "--play";

/// What keeps a measurement from being made, for the user to read.
#[derive(Debug)]
pub(crate) struct Failure(pub(crate) String);

/// The name by which callgrind knows the function below, whatever the compiler puts around it.
const COUNTED: &str = "*counted_by_callgrind*";

/// What this calls is counted, and nothing else.
#[inline(never)]
pub(crate) fn counted_by_callgrind(work: &mut dyn FnMut()) {
    work();
    // The call above must not become a jump: callgrind has to see it return here.
    black_box(&work);
}

/// Under callgrind: plays a case and says what [`run`] has to know of it.
pub(crate) fn play(case: &Case) {
    println!("{}", vectors());
    println!("{}", (case.play)(case.rounds));
}

/// The vector instructions of this CPU, or of the one that valgrind shows, by which libraries
/// choose their code.
fn vectors() -> &'static str {
    #[cfg(target_arch = "x86_64")]
    {
        match (is_x86_feature_detected!("avx2"), is_x86_feature_detected!("avx512bw")) {
            (_, true) => "avx512",
            (true, false) => "avx2",
            (false, false) => "sse2",
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        "as compiled"
    }
}

/// What a run has given.
pub(crate) struct Run {
    /// All that was counted.
    pub(crate) instructions: u64,
    /// Messages, deliveries, handshakes ... in it.
    pub(crate) units: u64,
    /// Architecture and vector instructions of the CPU that valgrind has shown.
    pub(crate) cpu: String,
    /// Callgrind's whole output.
    pub(crate) text: String,
}

impl Run {
    pub(crate) fn per_unit(&self) -> f64 {
        self.instructions as f64 / self.units as f64
    }
}

/// Plays a case under callgrind.
pub(crate) fn run(case: &Case) -> Result<Run, Failure> {
    let file = out_file(case);
    let binary = std::env::current_exe().map_err(|error| Failure(error.to_string()))?;
    let mut command = Command::new("valgrind");
    command.args(["--tool=callgrind", "--quiet", "--compress-strings=no", "--compress-pos=no"]);
    command.args(["--dump-instr=yes", "--dump-line=no"]);
    command.arg(format!("--toggle-collect={COUNTED}"));
    command.arg(format!("--callgrind-out-file={}", file.display()));
    command.arg(binary).args([PLAY, case.name]);
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    let printed = stdout_of(command)?;
    let text = std::fs::read_to_string(&file);
    let text = text.map_err(|error| Failure(format!("{}: {error}", file.display())))?;
    let instructions = text.lines().find_map(|line| line.strip_prefix("totals: "));
    let instructions: u64 = instructions.and_then(|total| total.trim().parse().ok()).unwrap_or(0);
    let (vectors, units) = printed.trim().split_once('\n').unwrap_or_default();
    let units: u64 = units.parse().unwrap_or(0);
    let cpu = format!("{} {vectors}", std::env::consts::ARCH);
    if instructions == 0 || units == 0 {
        return Err(Failure(format!("{}: callgrind has counted nothing", case.name)));
    }
    Ok(Run { instructions, units, cpu, text })
}

/// Beside this binary, where it may be looked at with other tools afterwards.
fn out_file(case: &Case) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    folder.join(format!("callgrind.{}.out", case.name))
}

/// The version of valgrind, which has to be there.
pub(crate) fn version() -> Result<String, Failure> {
    let mut command = Command::new("valgrind");
    command.arg("--version");
    Ok(stdout_of(command)?.trim().trim_start_matches("valgrind-").to_owned())
}

/// What a command prints, if it ends well.
pub(crate) fn stdout_of(mut command: Command) -> Result<String, Failure> {
    let name = command.get_program().to_string_lossy().into_owned();
    let missing = || match name.as_str() {
        "valgrind" => "valgrind is not installed: apt-get install valgrind".to_owned(),
        other => format!("{other} is not installed"),
    };
    let Output { status, stdout, stderr } = command.output().map_err(|error| {
        let is_missing = error.kind() == ErrorKind::NotFound;
        Failure(if is_missing { missing() } else { format!("{name}: {error}") })
    })?;
    if !status.success() {
        return Err(Failure(format!("{name}: {status}\n{}", String::from_utf8_lossy(&stderr))));
    }
    Ok(String::from_utf8_lossy(&stdout).into_owned())
}
