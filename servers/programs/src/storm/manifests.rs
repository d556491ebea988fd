//! What manifests promise, kept by real units. Each unit is enabled, seen, and disabled again.

use abi::process::KILLED;
use proto::{Action, UnitRow, UnitState};
use rt::sys::clock;
use rt::unit::AskError;

use crate::Failed;
use crate::await_until;
use crate::system::{LIMIT_NS, World};

const MS: u64 = 1_000_000;

/// One promise.
type Check = fn(&World) -> Result<(), Failed>;

/// All of them.
pub fn all(world: &World) -> Result<(), Failed> {
    let checks: [(&str, Check); 8] = [
        ("restart = never", never),
        ("restart = on-failure", on_failure),
        ("restart = always", always),
        ("back-off", back_off),
        ("health", health),
        ("stop-within", stop_within),
        ("reservation", reservation),
        ("order", order),
    ];
    for (name, check) in checks {
        let begun_ns = clock::now_ns();
        check(world).map_err(|failed| Failed::because(format_args!("{name}: {}", failed.0)))?;
        log::info!("{name}: kept, in {} ms", (clock::now_ns() - begun_ns) / MS);
    }
    Ok(())
}

/// Has a unit start, whatever comes of it.
fn enable(world: &World, name: &str) -> Result<(), Failed> {
    match world.act(name, Action::Enable) {
        Ok(()) | Err(AskError::Refused(_)) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn expect(good: bool, row: &UnitRow) -> Result<(), Failed> {
    if good {
        return Ok(());
    }
    Err(Failed::because(format_args!(
        "{} is {} in instance {} after {} restarts, exit code {:?}: {}",
        row.name,
        row.state.word(),
        row.generation,
        row.restarts,
        row.exit_code,
        row.reason
    )))
}

fn never(world: &World) -> Result<(), Failed> {
    enable(world, "test.exits-7")?;
    let row = world.in_state("test.exits-7", UnitState::Ended)?;
    expect(row.exit_code == Some(7) && row.generation == 1, &row)
}

fn on_failure(world: &World) -> Result<(), Failed> {
    enable(world, "test.exits-0")?;
    let row = world.in_state("test.exits-0", UnitState::Ended)?;
    expect(row.exit_code == Some(0) && row.generation == 1, &row)
}

/// Dies and dies once it was ready: never waits.
fn always(world: &World) -> Result<(), Failed> {
    enable(world, "test.exits-5")?;
    let row = await_until("five instances", LIMIT_NS, || {
        let row = world.unit("test.exits-5")?;
        expect(row.state != UnitState::BackOff, &row)?;
        Ok((row.generation > 5).then_some(row))
    })?;
    world.act("test.exits-5", Action::Disable)?;
    expect(row.restarts >= 5, &row)
}

/// Dies three times before it is ready: waits 100, 200 and 400 ms.
fn back_off(world: &World) -> Result<(), Failed> {
    let begun_ns = clock::now_ns();
    enable(world, "test.early")?;
    let row = world.in_state("test.early", UnitState::Ready)?;
    let took_ns = clock::now_ns() - begun_ns;
    world.act("test.early", Action::Disable)?;
    expect(row.generation == 4 && row.restarts == 3, &row)?;
    expect(took_ns >= 700 * MS, &row)
}

fn health(world: &World) -> Result<(), Failed> {
    enable(world, "test.sick")?;
    let row = world.next_ready("test.sick", 1)?;
    expect(row.generation == 2 && row.exit_code == Some(KILLED), &row)?;
    world.act("test.sick", Action::Disable)?;
    Ok(())
}

/// One ends when it is asked, the other when its time is over.
fn stop_within(world: &World) -> Result<(), Failed> {
    enable(world, "test.polite")?;
    world.in_state("test.polite", UnitState::Ready)?;
    world.act("test.polite", Action::Disable)?;
    let row = world.unit("test.polite")?;
    expect(
        row.state == UnitState::Stopped && row.exit_code == Some(0),
        &row,
    )?;
    // Its own lines and no others.
    let own = said(world, "test.polite", "asked to end")?;
    if own != 1 || said(world, "test.sick", "asked to end")? != 0 {
        return Err(Failed::because(format_args!(
            "the log of test.polite has its line {own} times: {:?}",
            world.log("test.polite")?
        )));
    }

    enable(world, "test.stubborn")?;
    world.in_state("test.stubborn", UnitState::Ready)?;
    let asked_ns = clock::now_ns();
    world.act("test.stubborn", Action::Disable)?;
    let row = world.unit("test.stubborn")?;
    expect(row.exit_code == Some(KILLED), &row)?;
    expect(clock::now_ns() - asked_ns >= 300 * MS, &row)
}

/// How many lines of a unit's log have these words.
fn said(world: &World, name: &str, words: &str) -> Result<usize, Failed> {
    let lines = world.log(name)?;
    Ok(lines
        .iter()
        .filter(|line| line.text.contains(words))
        .count())
}

/// More than the core has is refused, and the reason says by how much.
fn reservation(world: &World) -> Result<(), Failed> {
    enable(world, "test.greedy")?;
    let row = world.in_state("test.greedy", UnitState::BackOff)?;
    world.act("test.greedy", Action::Disable)?;
    expect(
        row.reason.contains("reservation") && row.reason.contains("ppm"),
        &row,
    )
}

/// What a unit comes after is ready first, and started with it.
fn order(world: &World) -> Result<(), Failed> {
    if let Err(error) = world.act("test.after", Action::Enable)
        && !Failed::refused_with(&error, "test.idle is disabled")
    {
        return Err(error.into());
    }
    world.act("test.idle", Action::Enable)?;
    world.act("test.idle", Action::Stop)?;
    world.act("test.after", Action::Enable)?;
    let (idle, after) = (world.unit("test.idle")?, world.unit("test.after")?);
    for row in [&idle, &after] {
        expect(row.state == UnitState::Ready, row)?;
    }
    expect(idle.since_ns <= after.since_ns, &after)?;
    for name in ["test.after", "test.idle"] {
        world.act(name, Action::Disable)?;
    }
    Ok(())
}
