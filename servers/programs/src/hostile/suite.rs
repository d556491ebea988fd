//! All attacks, each in a process of its own, from one program: `hostile suite`.

use alloc::vec::Vec;

use abi::process::{CRASHED, JobLimits};
use abi::{Error, Rights, Signals};
use loader::Archive;
use rt::Env;
use rt::launch::{Code, Launch, LaunchError, read_all, time_page};
use rt::sys::clock;
use rt::sys::log::this_log;
use rt::sys::object::{Job, Object, Vmo};
use rt::sys::process::this_job;

use crate::{Expect, UNEXPECTED, USAGE, attacks, processor};

/// An attack that takes longer hangs.
const PATIENCE_NS: u64 = 20_000_000_000;
/// What the process of an attack may use.
const LIMITS: JobLimits = JobLimits {
    memory_bytes: 32 << 20,
    kernel_bytes: 4 << 20,
    handles: 4096,
    processes: 64,
    threads: 64,
    reserved_ppm: 0,
    cpu_ppm: u64::MAX,
    weight: 1024,
};

/// What starting the attacks needs.
struct Suite<'a> {
    file: &'a [u8],
    time: Vmo,
    failed: u32,
    made: u32,
}

/// Makes all attacks; 0 if each came to what it should.
pub(crate) fn run(mut env: Env) -> i32 {
    let archive = env
        .take::<Vmo>("archive")
        .map_err(|_| Error::BadHandle)
        .and_then(|vmo| read_all(&vmo));
    let (archive, time) = match (archive, time_page()) {
        (Ok(archive), Ok(time)) => (archive, time),
        (Err(error), _) | (_, Err(error)) => {
            log::error!("cannot begin: {error}");
            return USAGE;
        }
    };
    let Some(file) = Archive::new(&archive)
        .ok()
        .and_then(|archive| archive.file("programs/hostile"))
    else {
        log::error!("the archive does not hold this program");
        return USAGE;
    };
    let mut suite = Suite {
        file,
        time,
        failed: 0,
        made: 0,
    };
    for attack in attacks() {
        suite.judge(
            attack.name,
            match attack.expect {
                Expect::Crash => CRASHED,
                Expect::Refused(_) | Expect::Holds => 0,
            },
        );
    }
    for name in processor::instruction_names() {
        suite.judge(name, CRASHED);
    }
    log::info!("suite: {} attacks, {} failed", suite.made, suite.failed);
    if suite.failed == 0 { 0 } else { UNEXPECTED }
}

impl Suite<'_> {
    fn judge(&mut self, name: &str, expected: i32) {
        self.made += 1;
        match self.attack(name) {
            Ok(code) if code == expected => {}
            Ok(code) => {
                log::error!("{name}: ended with {code} instead of {expected}");
                self.failed += 1;
            }
            Err(error) => {
                log::error!("{name}: {error}");
                self.failed += 1;
            }
        }
    }

    /// Makes one attack in a new process under a new job; its exit code.
    fn attack(&self, name: &str) -> Result<i32, LaunchError> {
        let step = |step| move |error| LaunchError::Step { step, error };
        let job = this_job().create(&LIMITS).map_err(step("making the job"))?;
        let mut handles = Vec::new();
        let job_rights = Rights::of_new(Job::TYPE);
        for (name, handle, rights) in [
            (
                "job",
                job.duplicate(job_rights).map(Object::into_owned),
                job_rights,
            ),
            (
                "log",
                this_log()
                    .duplicate(Rights::WRITE | Rights::TRANSFER)
                    .map(Object::into_owned),
                Rights::WRITE,
            ),
        ] {
            handles.push((name, handle.map_err(step("making its handles"))?, rights));
        }
        let child = Launch {
            name: "hostile",
            code: Code::File(self.file),
            arguments: &["hostile", name],
            handles,
            time_page: Some(&self.time),
            generation: 0,
            core: u32::MAX,
            reservation: None,
        }
        .start(&job)?;
        let ended = child
            .process
            .wait_blocking(Signals::ENDED, clock::now_ns() + PATIENCE_NS);
        let status = child.process.status().map_err(step("asking how it is"))?;
        job.kill(0).map_err(step("ending its job"))?;
        ended.map_err(step("waiting for its end"))?;
        Ok(status.exit_code)
    }
}
