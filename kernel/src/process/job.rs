//! Jobs as objects: accounts with limits, and who lives under them.

use abi::process::JobInfo;
use objects::job::Group;
use objects::refs::Ref;

use super::process::{Process, for_each};

/// A job.
pub type JobObject = Group<Process>;

/// Ends every process in it and below, and takes no more. In one go: who ends his own job has no time after it.
pub fn kill(job: &Ref<JobObject>, exit_code: i32) {
    for process in job.end() {
        Process::kill(&process, exit_code);
    }
}

/// Limits and use.
pub fn info(job: &JobObject) -> JobInfo {
    let account = job.job();
    // The past first: who ends meanwhile is left out for once, not counted twice.
    let mut cpu_ticks = account.past_cpu_ticks();
    for_each(|process| {
        if job.is_above(process.account()) {
            cpu_ticks += process.present_cpu_ticks();
        }
    });
    JobInfo {
        cpu_ns: hal::time::ticks_to_ns(cpu_ticks),
        ..account.info()
    }
}
