//! A manager to ask.

use proto::{
    Action, Cursor, Refused, RunEvent, Running, Services, Text, UnitLogRow, UnitName, UnitRow,
    UnitState,
};
use rt::Clock;
use testkit::SimClock;

use super::{Fake, State, fill};

fn refused(reason: &str) -> Refused {
    Refused {
        reason: reason.into(),
    }
}

fn find<'a>(state: &'a mut State, name: &str) -> Option<&'a mut UnitRow> {
    let mut units = state.units.iter_mut();
    units.find(|unit| unit.name.as_str() == name)
}

fn no_unit() -> Refused {
    refused("there is no such unit")
}

pub struct Program {
    host: Fake,
    clock: SimClock,
    killed: bool,
}

impl Running for Program {
    async fn next(&mut self, buffer: &mut [u8]) -> RunEvent {
        let (piece, code) = {
            let mut state = self.host.lock();
            let (pieces, code) = &mut state.program;
            (
                (!pieces.is_empty()).then(|| pieces.remove(0)),
                if self.killed { Some(-1) } else { *code },
            )
        };
        match (piece, code) {
            (Some(piece), _) => {
                buffer[..piece.len()].copy_from_slice(&piece);
                RunEvent::Output(piece.len())
            }
            (None, Some(code)) => {
                self.clock.sleep(1_000_000).await;
                RunEvent::Ended(code)
            }
            (None, None) => std::future::pending().await,
        }
    }

    async fn kill(&mut self) {
        self.killed = true;
        self.host.lock().asked.push("kill the program".into());
    }
}

impl Services for Fake {
    type Program = Program;
    type Network = proto::NoProgram;

    async fn units(&self, cursor: &mut Cursor, page: &mut [UnitRow]) -> Result<usize, Refused> {
        Ok(fill(&self.lock().units, cursor, page))
    }

    async fn unit(&self, name: &str) -> Result<UnitRow, Refused> {
        find(&mut self.lock(), name).cloned().ok_or_else(no_unit)
    }

    async fn act(&self, name: &str, action: Action) -> Result<(), Refused> {
        self.lock().asked.push(format!("{} {name}", action.word()));
        find(&mut self.lock(), name).ok_or_else(no_unit)?.state = match action {
            Action::Stop | Action::Disable => UnitState::Stopped,
            _ => UnitState::Ready,
        };
        if name == "slow" {
            std::future::pending::<()>().await;
        }
        Ok(())
    }

    async fn unit_log(
        &self,
        name: &str,
        cursor: &mut Cursor,
        page: &mut [UnitLogRow],
    ) -> Result<usize, Refused> {
        let mut state = self.lock();
        find(&mut state, name).ok_or_else(no_unit)?;
        let row = |(index, line): (usize, &String)| UnitLogRow {
            // Lines 2 to 4 are lost.
            seq: if index < 2 {
                index as u64
            } else {
                index as u64 + 3
            },
            time_ns: 1_500_000,
            generation: 3,
            text: Text::from_start(line),
        };
        let rows: Vec<_> = state.lines.iter().enumerate().map(row).collect();
        Ok(fill(&rows, cursor, page))
    }

    async fn unit_log_grown(&self, _: &str, cursor: Cursor) -> Result<(), Refused> {
        while self.lock().lines.len() as u64 <= cursor.0 {
            self.clock.sleep(10_000_000).await;
        }
        Ok(())
    }

    async fn kill(&self, process: u64, exit_code: i32) -> Result<(), Refused> {
        if process != 7 {
            return Err(refused("there is no process of this id"));
        }
        self.lock()
            .asked
            .push(format!("kill {process} {exit_code}"));
        Ok(())
    }

    async fn programs(&self, cursor: &mut Cursor, page: &mut [UnitName]) -> Result<usize, Refused> {
        let names = ["hello", "hostile", "spin"].map(UnitName::from);
        Ok(fill(&names, cursor, page))
    }

    async fn run(&self, command: &str) -> Result<Program, Refused> {
        if command.starts_with("nothere\0") {
            return Err(refused("the archive has no program \"nothere\""));
        }
        self.lock().asked.push(format!("run {command:?}"));
        Ok(Program {
            host: self.clone(),
            clock: self.clock.clone(),
            killed: false,
        })
    }
}
