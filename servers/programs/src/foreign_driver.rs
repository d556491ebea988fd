//! Runs the program `foreign` as Linux would: starts [`personality`] in this process, or with the argument `resident` in the kernel. Needs the
//! archive of programs under the name `archive`, and for the kernel the handle `system`.
//!
//! Exits with 0 if everything came out as it should.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

extern crate alloc;

use abi::{Error, Rights};
use loader::Archive;
use rt::launch::{Code, Launch, read_all};
use rt::sys::object::{Job, Object, System, Vmo};
use rt::sys::process::this_job;
use rt::{Env, Watched};

rt::entry!(async main);

/// Exit code without what it needs.
const CANNOT: i32 = 101;

async fn main(mut env: Env) -> i32 {
    let program = match env.take::<Vmo>("archive").map(|archive| program(&archive)) {
        Ok(Ok(program)) => program,
        Ok(Err(error)) => return cannot("the program", error),
        Err(missing) => {
            log::error!("{missing}");
            return CANNOT;
        }
    };
    if env.argument(1) != Some("resident") {
        return match read_all(&program) {
            Ok(file) => personality::run(&file).await,
            Err(error) => cannot("the program", error),
        };
    }
    let Ok(system) = env.take::<System>("system") else {
        log::error!("no handle system");
        return CANNOT;
    };
    let rights = Rights::READ | Rights::INSPECT;
    let job_rights = Rights::of_new(Job::TYPE);
    let job = match this_job().duplicate(job_rights) {
        Ok(job) => job,
        Err(error) => return cannot("its job", error),
    };
    let started = Launch {
        name: "personality",
        code: Code::Resident {
            server: "servers/personality",
            system: &system,
        },
        arguments: &["personality"],
        handles: alloc::vec![
            ("program", program.into_owned(), rights),
            ("job", job.into_owned(), job_rights),
        ],
        time_page: None,
        generation: 0,
        core: u32::MAX,
        reservation: None,
    }
    .start(&this_job());
    let process = match started {
        Ok(started) => started.process,
        Err(error) => {
            log::error!("the kernel does not start it: {error}");
            return CANNOT;
        }
    };
    match Watched::process(process) {
        Ok(process) => process.ended().await.unwrap_or(CANNOT),
        Err(error) => cannot("waiting for it", error),
    }
}

fn cannot(what: &str, error: Error) -> i32 {
    log::error!("{what}: {error}");
    CANNOT
}

/// The file of the foreign program.
fn program(archive: &Vmo) -> Result<Vmo, Error> {
    let archive = read_all(archive)?;
    let file = Archive::new(&archive)
        .ok()
        .and_then(|archive| archive.file("programs/foreign"))
        .ok_or(Error::BadArgument)?;
    let vmo = Vmo::create(file.len() as u64)?;
    vmo.write(0, file)?;
    Ok(vmo)
}
