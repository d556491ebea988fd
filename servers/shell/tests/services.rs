//! Units, processes and programs, in script mode.

mod common;

use common::{Bench, NASTY, SECOND, script};
use proto::{HandleRow, Placement, ProcessRow, ProcessState, Text, UnitRow, UnitState};
use serde_json::Value;
use shell::Mode;

fn rows(output: &str) -> Vec<Value> {
    output
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect()
}

fn with_units() -> Bench {
    let bench = script();
    {
        let mut state = bench.system.state.lock().expect("free");
        let unit = |name: &str, process, reason: &str| UnitRow {
            name: name.into(),
            state: if process == Some(7) {
                UnitState::Ready
            } else {
                UnitState::BackOff
            },
            enabled: true,
            generation: 3,
            restarts: 2,
            process,
            exit_code: process.is_none().then_some(-2),
            reason: reason.into(),
            ..UnitRow::default()
        };
        state.units = vec![
            unit("echo", Some(7), ""),
            unit("sick", None, NASTY),
            unit("slow", Some(u64::MAX), &"x".repeat(200)),
        ];
        state.lines = vec!["first".into(), NASTY.into(), "third".into()];
        state.processes = (0..20)
            .map(|id| ProcessRow {
                id,
                name: if id == 7 {
                    NASTY.into()
                } else {
                    "worker".into()
                },
                job: 1,
                state: match id {
                    0 => ProcessState::Ended { exit_code: -2 },
                    _ => ProcessState::Running,
                },
                threads: 3,
                handles: 12,
                memory_bytes: 1 << 20,
                cpu_ns: 1500,
                placement: Placement::Isolated,
                reserved: None,
                late_jobs: 0,
                throttled_jobs: 0,
                core: (id != 0).then_some(1),
            })
            .collect();
        state.handles = (1..20)
            .map(|handle| HandleRow {
                handle: handle | 1 << 33,
                object_id: 99,
                object_type: if handle == 1 { 1 } else { 77 },
                rights: 0b1011,
                badge: 5,
                leased: handle == 1,
            })
            .collect();
    }
    bench
}

#[test]
fn units_are_listed_and_shown() {
    let mut bench = with_units();
    bench.pass(2 * SECOND);
    let (list, status) = bench.line("svc");
    assert_eq!(status, 0);
    assert_eq!(bench.line("svc list").0.lines().next(), list.lines().next());
    assert_eq!(list.lines().count(), 4, "{list}");
    assert!(list.contains("echo                 ready"), "{list}");
    assert!(
        !list.contains('\u{1b}'),
        "a reason does not steer the terminal"
    );
    {
        let mut state = bench.system.state.lock().expect("free");
        state.units[2].enabled = false;
        state.units[2].generation = 0;
        state.units[2].state = UnitState::Stopped;
    }
    let (list, _) = bench.line("svc list");
    assert!(
        list.ends_with("1 more are not enabled and were never started: svc list --all\n"),
        "{list}"
    );
    assert!(!list.contains("slow") && bench.line("svc --all").0.contains("slow"));
    let units = rows(&bench.line("svc --json").0);
    assert_eq!(units.len(), 3);
    assert_eq!(
        (&units[1]["state"], &units[1]["exit_code"]),
        (&"back-off".into(), &(-2).into())
    );
    assert_eq!(units[1]["reason"], NASTY);
    assert_eq!(
        (&units[1]["process"], &units[0]["process"]),
        (&Value::Null, &7.into())
    );

    let (one, status) = bench.line("svc status sick");
    assert_eq!(status, 0);
    for line in [
        "state       back-off for",
        "last exit   -2",
        "started     3 times, 2 of them because it had died",
        "placement   isolated",
        "process     -",
    ] {
        assert!(one.contains(line), "{one}");
    }
    assert_eq!(
        rows(&bench.line("svc status --json echo").0)[0]["generation"],
        3
    );
    assert_eq!(
        bench.line("svc status nothere"),
        ("svc: there is no such unit\n".into(), 1)
    );
}

#[test]
fn units_are_acted_upon() {
    let mut bench = with_units();
    for action in ["start", "stop", "restart", "kill", "enable", "disable"] {
        assert_eq!(
            bench.line(&format!("svc {action} echo")),
            (String::new(), 0)
        );
        assert_eq!(bench.asked().pop(), Some(format!("{action} echo")));
    }
    assert_eq!(bench.line("svc start nothere").1, 1);
    for (line, problem) in [
        ("svc start", "svc: which unit? `svc list` shows them"),
        ("svc status", "svc: which unit? `svc list` shows them"),
        ("svc logs", "svc: which unit? `svc list` shows them"),
        ("svc fly", "svc: no such action"),
        ("svc fly echo", "svc: no such action"),
        ("svc list echo", "svc: list takes no unit"),
        ("svc start echo -f", "svc: --follow goes with logs"),
        ("svc start a b", "svc: \"b\" is one word too many"),
    ] {
        let (output, status) = bench.line(line);
        assert_eq!(
            (output.lines().next(), status),
            (Some(problem), 2),
            "{line}"
        );
        assert!(output.contains("usage: svc [-f] [-a] [--json] [list | ACTION UNIT]"));
    }
    // Waiting for what takes long ends with Ctrl-C.
    assert_eq!(bench.type_and_wait("svc restart slow\n", SECOND), "");
    assert_eq!(bench.type_and_wait("\u{3}", SECOND), "\u{1e}130\n");
}

#[test]
fn logs_of_units_are_shown_and_followed() {
    let mut bench = with_units();
    let (log, status) = bench.line("svc logs echo");
    assert_eq!(status, 0);
    assert!(log.starts_with("[    0.001500] 3: first\n"), "{log}");
    assert!(log.contains("(3 lines were overwritten before they could be read)\n"));
    assert!(!log.contains('\u{1b}'));
    assert_eq!(
        rows(&bench.line("svc logs --json echo").0)[1]["text"],
        NASTY
    );
    assert!(
        bench
            .type_and_wait("svc logs -f echo\n", SECOND)
            .ends_with("third\n")
    );
    bench
        .system
        .state
        .lock()
        .expect("free")
        .lines
        .push("new".into());
    assert!(bench.type_and_wait("", SECOND).ends_with("3: new\n"));
    assert_eq!(bench.type_and_wait("\u{3}", SECOND), "\u{1e}130\n");
    assert_eq!(bench.line("svc logs nothere").1, 1);
}

#[test]
fn processes_come_before_tasks() {
    let mut bench = with_units();
    let (table, _) = bench.line("ps");
    let lines: Vec<_> = table.lines().collect();
    assert!(lines[0].starts_with("process name"), "{table}");
    assert!(
        lines[1].starts_with("      0 worker               isolated crashed     -2    -     1"),
        "{table}"
    );
    assert_eq!(lines[21], "");
    assert!(lines[22].starts_with("id "));
    assert!(!table.contains('\u{1b}'));
    let all = rows(&bench.line("ps --json").0);
    let of = |kind: &str| all.iter().filter(|row| row["kind"] == kind).count();
    assert_eq!((of("process"), of("task"), all.len()), (20, 32, 52));
    assert_eq!(
        (&all[0]["exit_code"], &all[0]["core"]),
        (&(-2).into(), &Value::Null)
    );
    assert_eq!(all[7]["name"], NASTY);
    assert_eq!(
        (&all[7]["memory_bytes"], &all[7]["state"]),
        (&(1 << 20).into(), &"running".into())
    );
}

#[test]
fn handles_and_kills_go_by_process() {
    let mut bench = with_units();
    let (table, status) = bench.line("caps 7");
    assert_eq!((table.lines().count(), status), (20, 0));
    assert!(
        table
            .lines()
            .nth(1)
            .is_some_and(|line| line.contains("0x200000001 process ")
                && line.ends_with("yes    duplicate transfer inspect")),
        "{table}"
    );
    let handles = rows(&bench.line("caps --json 7").0);
    assert_eq!(handles.len(), 19);
    assert_eq!(
        handles[0]["rights"],
        Value::from(vec!["DUPLICATE", "TRANSFER", "INSPECT"])
    );
    assert_eq!(
        (&handles[1]["type"], &handles[1]["leased"]),
        (&"unknown".into(), &false.into())
    );
    assert_eq!(
        bench.line("caps 8"),
        ("caps: there is no process 8\n".into(), 1)
    );
    assert_eq!(
        bench.line("caps 99999999999"),
        ("caps: there is no process 99999999999\n".into(), 1)
    );
    assert_eq!(bench.line("kill 7"), (String::new(), 0));
    assert_eq!(bench.asked(), ["kill 7 -1"]);
    assert_eq!(bench.line("kill 7 3"), (String::new(), 0));
    assert_eq!(bench.asked(), ["kill 7 -1", "kill 7 3"]);
    let (output, status) = bench.line("kill 7 x");
    assert!(
        output.starts_with("kill: the exit code is a whole number\nusage: "),
        "{output}"
    );
    assert_eq!(status, 2);
    assert_eq!(
        bench.line("kill 8"),
        ("kill: there is no process of this id\n".into(), 1)
    );
    for line in ["kill x", "caps -- -1", "caps 1.5"] {
        let (output, status) = bench.line(line);
        assert!(
            output.contains("is no process id; `ps` shows them\nusage: "),
            "{output}"
        );
        assert_eq!(status, 2);
    }
}

#[test]
fn a_program_runs_with_its_output_and_status() {
    let mut bench = with_units();
    let program = |bench: &Bench, pieces: &[&[u8]], code| {
        let pieces = pieces.iter().map(|piece| piece.to_vec()).collect();
        bench.system.state.lock().expect("free").program = (pieces, code);
    };
    program(&bench, &[b"hel", b"lo\n", b"\x1e0\nz\n"], Some(3));
    let printed = bench.type_and_wait("run hello -x --json 'a b'; echo $?\n", SECOND);
    bench.pass(SECOND);
    // The mark of the shell cannot be forged.
    assert!(printed.starts_with("hello\n0\n"), "{printed:?}");
    assert!(printed.ends_with("3\n\u{1e}0\n"), "{printed:?}");
    assert_eq!(bench.asked(), ["run \"hello\\0-x\\0--json\\0a b\\0\""]);
    for (code, status, text) in [
        (0, 0, ""),
        (256, 0, ""),
        (-1, 137, "run: the program was killed\n"),
        (-2, 134, "run: the program crashed\n"),
    ] {
        program(&bench, &[], Some(code));
        assert_eq!(bench.line("run x"), (text.into(), status));
    }
    assert_eq!(
        bench.line("run nothere"),
        ("run: the archive has no program \"nothere\"\n".into(), 1)
    );
    assert_eq!(bench.line("run").1, 2);
}

#[test]
fn ctrl_c_kills_a_program() {
    let mut bench = with_units();
    bench.system.state.lock().expect("free").program = (vec![b"on and on\n".to_vec()], None);
    assert_eq!(
        bench.type_and_wait("run spin; echo not reached\n", SECOND),
        "on and on\n"
    );
    assert_eq!(bench.type_and_wait("\u{3}", SECOND), "\u{1e}130\n");
    assert_eq!(
        bench.asked().last().map(String::as_str),
        Some("kill the program")
    );
    assert_eq!(bench.line("echo $?"), ("130\n".into(), 0));
}

#[test]
fn a_terminal_gets_whole_lines_and_completion_knows_actions() {
    let mut bench = Bench::new(Mode::Interactive);
    bench.system.state.lock().expect("free").program = (vec![b"a\nb\n".to_vec()], Some(0));
    bench.printed();
    let printed = bench.type_and_wait("run x\r", SECOND);
    assert!(printed.contains("\r\na\r\nb\r\n"), "{printed:?}");
    let printed = bench.type_and_wait("svc re\t", SECOND);
    assert!(printed.contains("start "), "{printed:?}");
}

#[test]
fn a_host_without_a_manager_says_so() {
    struct Bare;
    impl proto::Services for Bare {
        type Program = proto::NoProgram;
        type Network = proto::NoProgram;
    }
    let reason = testkit::block_on(async {
        use proto::Services;
        Bare.act("x", proto::Action::Start).await
    });
    let reason: Text<120> = reason.expect_err("nobody is there").reason;
    assert_eq!(
        reason.as_str(),
        "this shell runs inside the kernel and has no manager of units to ask"
    );
}
