//! Restricts a process to its memory, its CPU time and its three standard streams.
//!
//! Resource limits come first and are required. Two further layers depend on the kernel: Landlock (no files, no
//! network, no signals to others) and a seccomp filter (only system calls for computing). If one is missing, the worker
//! continues and the service logs a warning.

use std::collections::BTreeMap;

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, RestrictionStatus, Ruleset, RulesetAttr as _, RulesetError,
    RulesetStatus, Scope,
};
use rustix::process::{Resource, Rlimit, Signal, setrlimit};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen as Len, SeccompCmpOp as Op, SeccompCondition, SeccompFilter,
    SeccompRule,
};

/// Address space in addition to the data: programs, libraries, stacks, and reserved memory of the allocator. In bytes.
const RESERVED_SPACE: u64 = 1024 * 1024 * 1024;

/// The newest known version of Landlock.
const LANDLOCK: ABI = ABI::V6;

/// The limits of a process.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// The worker ends with this process.
    pub(super) parent: u32,
    /// In bytes.
    pub(super) memory: u64,
    pub(super) cpu_seconds: u64,
}

/// Restricts this process permanently. Must be called before a second thread exists. Returns the layers that the kernel
/// does not support.
pub(super) fn enter(limits: Limits) -> std::io::Result<Vec<String>> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    if std::os::unix::process::parent_id() != limits.parent {
        return Err(std::io::Error::other("the service has ended"));
    }
    // If the container runs out of memory, the kernel kills this process instead of the service. Best effort.
    let _ = std::fs::write("/proc/self/oom_score_adj", "1000");
    set(Resource::Core, 0)?;
    set(Resource::Fsize, 0)?;
    set(Resource::Data, limits.memory)?;
    set(Resource::As, limits.memory.saturating_add(RESERVED_SPACE))?;
    set_soft(
        Resource::Cpu,
        limits.cpu_seconds,
        limits.cpu_seconds.saturating_add(2),
    )?;
    rustix::thread::set_no_new_privs(true)?;

    let mut missing = Vec::new();
    let landlocked = restrict_with_landlock();
    // Open files stay open, and no others can be opened.
    set(Resource::Nofile, 0)?;
    if !landlocked.is_ok_and(|status| status.ruleset != RulesetStatus::NotEnforced) {
        missing.push("landlock".to_owned());
    }
    if filter_system_calls().is_err() {
        missing.push("seccomp".to_owned());
    }
    Ok(missing)
}

fn set(resource: Resource, limit: u64) -> std::io::Result<()> {
    set_soft(resource, limit, limit)
}

fn set_soft(resource: Resource, soft: u64, hard: u64) -> std::io::Result<()> {
    let limit = Rlimit {
        current: Some(soft),
        maximum: Some(hard),
    };
    Ok(setrlimit(resource, limit)?)
}

fn restrict_with_landlock() -> Result<RestrictionStatus, RulesetError> {
    Ruleset::default()
        .handle_access(AccessFs::from_all(LANDLOCK))?
        .handle_access(AccessNet::from_all(LANDLOCK))?
        .scope(Scope::from_all(LANDLOCK))?
        .create()?
        .restrict_self()
}

/// Memory, threads, time, and open streams.
const ALLOWED_CALLS: [i64; 33] = [
    libc::SYS_brk,
    libc::SYS_clock_getres,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    // Handled by the other filter.
    libc::SYS_clone3,
    libc::SYS_close,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_fstat,
    libc::SYS_futex,
    libc::SYS_getcpu,
    libc::SYS_getpid,
    libc::SYS_getrandom,
    libc::SYS_gettid,
    libc::SYS_gettimeofday,
    libc::SYS_lseek,
    libc::SYS_madvise,
    libc::SYS_mremap,
    libc::SYS_munmap,
    libc::SYS_nanosleep,
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_restart_syscall,
    libc::SYS_rseq,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_yield,
    libc::SYS_set_robust_list,
    libc::SYS_sigaltstack,
    libc::SYS_write,
    libc::SYS_writev,
];

fn filter_system_calls() -> Result<(), seccompiler::Error> {
    let architecture = std::env::consts::ARCH
        .try_into()
        .map_err(seccompiler::Error::Backend)?;
    let apply = |rules, otherwise, matching| -> Result<(), seccompiler::Error> {
        let filter = SeccompFilter::new(rules, otherwise, matching, architecture)?;
        let program: BpfProgram = filter.try_into()?;
        seccompiler::apply_filter(&program)
    };
    // A filter cannot inspect the arguments of clone3. Without it the C library uses clone.
    let clone3 = BTreeMap::from([(libc::SYS_clone3, Vec::new())]);
    apply(clone3, SeccompAction::Allow, errno(libc::ENOSYS))?;

    let mut rules: BTreeMap<i64, Vec<SeccompRule>> =
        ALLOWED_CALLS.into_iter().map(|call| (call, Vec::new())).collect();
    let private = condition(3, Op::MaskedEq(bits(libc::MAP_SHARED)), 0)?;
    let not_executable = || condition(2, Op::MaskedEq(bits(libc::PROT_EXEC)), 0);
    let thread = bits(libc::CLONE_THREAD);
    // Shared memory is not counted as data.
    rules.insert(
        libc::SYS_mmap,
        vec![SeccompRule::new(vec![private, not_executable()?])?],
    );
    rules.insert(
        libc::SYS_mprotect,
        vec![SeccompRule::new(vec![not_executable()?])?],
    );
    rules.insert(
        libc::SYS_clone,
        vec![SeccompRule::new(vec![condition(
            0,
            Op::MaskedEq(thread),
            thread,
        )?])?],
    );
    rules.insert(
        libc::SYS_prctl,
        vec![SeccompRule::new(vec![condition(
            0,
            Op::Eq,
            bits(libc::PR_SET_NAME),
        )?])?],
    );
    // `abort` signals its own thread.
    let own = rustix::process::getpid().as_raw_nonzero().get();
    rules.insert(
        libc::SYS_tgkill,
        vec![SeccompRule::new(vec![condition(0, Op::Eq, bits(own))?])?],
    );
    apply(rules, errno(libc::EPERM), SeccompAction::Allow)
}

fn errno(number: i32) -> SeccompAction {
    SeccompAction::Errno(number.cast_unsigned())
}

fn condition(argument: u8, operator: Op, value: u64) -> Result<SeccompCondition, seccompiler::Error> {
    Ok(SeccompCondition::new(argument, Len::Dword, operator, value)?)
}

fn bits(value: i32) -> u64 {
    value.cast_unsigned().into()
}
