//! Programs that were started for somebody, who gets their output and their end.

use alloc::boxed::Box;
use alloc::vec::Vec;

use abi::process::{JobLimits, MAX_NAME_BYTES};
use abi::{Rights, Signals};
use loader::Archive;
use proto::Refused;
use proto::manager::Answer;
use rt::launch::{Code, Launch};
use rt::sys::endpoint::Token;
use rt::sys::log::this_log;
use rt::sys::message::Handles;
use rt::sys::object::{Channel, Job, Object, Owned, Process};
use rt::sys::process::this_job;

use super::{JOB, KEY_PROGRAMS, Manager};

/// Most programs that run at once.
const MOST: usize = 1024;

/// A program that runs.
pub struct Program {
    pub id: u64,
    pub process: Process,
    pub job: Job,
}

/// What its caller gets.
pub struct Started {
    output: Channel,
    process: Owned,
    job: Owned,
}

/// Answers with the handles of a program.
pub fn reply(token: Token, started: Started) {
    let mut handles = Handles::new();
    for handle in [started.output.into_owned(), started.process, started.job] {
        // Three of sixteen places.
        let _ = handles.push(handle);
    }
    let mut bytes = [0; 8];
    let len = Answer::Done.encode(&mut bytes).unwrap_or(0);
    // If the caller is gone, so is who reads the output: the program goes on without.
    let _ = token.reply_long(bytes.get(..len).unwrap_or_default(), &mut handles);
}

impl Manager {
    pub(super) fn run_program(&mut self, command: &str) -> Result<Started, Box<Refused>> {
        let refused = |reason: core::fmt::Arguments<'_>| Box::new(Refused::because(reason));
        let words = command.strip_suffix('\0').unwrap_or(command);
        let arguments: Vec<&str> = words.split('\0').collect();
        let name = arguments.first().copied().unwrap_or_default();
        let path = alloc::format!("programs/{name}");
        let archive = self.archive;
        let file = Archive::new(archive)
            .ok()
            .and_then(|archive| archive.file(&path))
            .ok_or_else(|| refused(format_args!("the archive has no program {name:?}")))?;
        if self.programs.len() >= MOST {
            return Err(refused(format_args!("{MOST} programs run already")));
        }
        self.launch_program(name, file, &arguments)
            .map_err(|error| refused(format_args!("{error}")))
    }

    fn launch_program(
        &mut self,
        name: &str,
        file: &[u8],
        arguments: &[&str],
    ) -> Result<Started, rt::launch::LaunchError> {
        let step = |step| move |error| rt::launch::LaunchError::Step { step, error };
        let job = this_job()
            .create(&JobLimits::NONE)
            .map_err(step("making its job"))?;
        let (output, their_output) = Channel::create().map_err(step("making its output"))?;
        let log_rights = Rights::WRITE | Rights::DUPLICATE | Rights::TRANSFER;
        let read =
            Rights::READ | Rights::MAP | Rights::INSPECT | Rights::DUPLICATE | Rights::TRANSFER;
        let their_job = job.duplicate(JOB).map_err(step("making its handles"))?;
        let log = this_log()
            .duplicate(log_rights)
            .map_err(step("making its handles"))?;
        let archive = self
            .archive_vmo
            .duplicate(read)
            .map_err(step("making its handles"))?;
        let mut end = name.len().min(MAX_NAME_BYTES);
        while !name.is_char_boundary(end) {
            end -= 1;
        }
        let launched = Launch {
            name: name.get(..end).unwrap_or_default(),
            code: Code::File(file),
            arguments,
            handles: Vec::from([
                ("job", their_job.into_owned(), JOB),
                ("log", log.into_owned(), log_rights),
                ("archive", archive.into_owned(), read),
                (
                    "output",
                    their_output.into_owned(),
                    Rights::of_new(Channel::TYPE),
                ),
            ]),
            time_page: Some(&self.time_page),
            generation: 0,
            core: u32::MAX,
            reservation: None,
        }
        .start(&job)?;
        let for_caller = Rights::WAIT | Rights::INSPECT | Rights::TRANSFER | Rights::DUPLICATE;
        let process = launched.process;
        let made = process
            .status()
            .and_then(|status| {
                self.watch(&process, KEY_PROGRAMS)?;
                let theirs = process.duplicate(for_caller)?.into_owned();
                let their_job = job.duplicate(for_caller | Rights::KILL)?.into_owned();
                Ok((status.id, theirs, their_job))
            })
            .map_err(|error| {
                // It may have ended by itself.
                let _ = job.kill(abi::process::KILLED);
                step("watching it")(error)
            });
        let (id, theirs, their_job) = made?;
        self.programs.push(Program { id, process, job });
        Ok(Started {
            output,
            process: theirs,
            job: their_job,
        })
    }

    /// Forgets programs that have ended, with all they left running.
    pub(super) fn sweep_programs(&mut self) {
        let port = &self.port;
        self.programs.retain(|program| {
            let runs = program
                .process
                .status()
                .is_ok_and(|status| status.ended == 0);
            if !runs {
                let _ = port.unbind(program.process.handle());
                let _ = program.job.kill(abi::process::KILLED);
            }
            runs
        });
    }

    /// Watches programs that the last manager started.
    pub(super) fn adopt_programs(&mut self, programs: Vec<Program>) {
        for program in programs {
            let watched = self
                .port
                .bind(program.process.handle(), Signals::ENDED, KEY_PROGRAMS);
            if watched.is_ok() {
                self.programs.push(program);
            }
        }
        self.sweep_programs();
    }
}
