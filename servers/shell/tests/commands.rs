//! The commands, in script mode.

mod common;

use common::{NASTY, SECOND, log_row, script};
use proto::Level;
use serde_json::Value;

fn json(output: &str) -> Value {
    serde_json::from_str(output).unwrap_or_else(|error| panic!("{error}: {output}"))
}

/// A table: an object on each line.
fn rows(output: &str) -> Vec<Value> {
    output.lines().map(json).collect()
}

#[test]
fn echo_quotes_and_statuses() {
    let mut bench = script();
    assert_eq!(bench.line("echo hello  world"), ("hello world\n".into(), 0));
    assert_eq!(
        bench.line("echo 'a  b;' \"c \\\" d\" e\\;f"),
        ("a  b; c \" d e;f\n".into(), 0)
    );
    assert_eq!(
        bench.line("nothere; echo $? \"$?\" '$?'").0.lines().last(),
        Some("127 127 $?")
    );
    assert_eq!(
        bench.line("ps --bad"),
        (
            "ps: there is no option --bad\nusage: ps [--json]\n".into(),
            2
        )
    );
    assert_eq!(bench.line("echo $?"), ("2\n".into(), 0));
    assert_eq!(
        bench.line("nothere"),
        (
            "raede: there is no command \"nothere\"; `help` lists them\n".into(),
            127
        )
    );
    // A blank line runs nothing, which cannot fail, and leaves $? alone.
    assert_eq!(bench.line("  ;; "), (String::new(), 0));
    assert_eq!(bench.line("echo $?"), ("127\n".into(), 0));
    assert_eq!(bench.line("echo -n --x"), ("-n --x\n".into(), 0));
    assert_eq!(bench.line("echo -- --help"), ("--help\n".into(), 0));
    assert_eq!(bench.line("echo"), ("\n".into(), 0));
}

#[test]
fn a_malformed_line_runs_nothing() {
    let mut bench = script();
    let (output, status) = bench.line("echo one; echo 'two");
    assert_eq!(
        (output.as_str(), status),
        (
            "raede: the line has an opening ' without a closing one\n",
            2
        )
    );
    assert_eq!(bench.line("echo a\\").1, 2);
    let (output, status) = bench.line(&"w ".repeat(40));
    assert_eq!(
        (output.as_str(), status),
        ("raede: a command takes at most 32 words\n", 2)
    );
}

#[test]
fn unknown_commands_get_a_suggestion() {
    let mut bench = script();
    for (typed, meant) in [
        ("tpo", "top"),
        ("dmseg", "dmesg"),
        ("versoin", "version"),
        ("slep", "sleep"),
        ("core", "cores"),
    ] {
        let (output, status) = bench.line(typed);
        assert_eq!(status, 127);
        assert!(
            output.contains(&format!("did you mean `{meant}`?")),
            "{output}"
        );
    }
    let (output, _) = bench.line(&"x".repeat(500));
    assert!(output.ends_with("`help` lists them\n"));
}

#[test]
fn an_over_long_line_is_discarded_with_the_limit() {
    let mut bench = script();
    let fits = format!("echo {}", "x".repeat(1024 - 5));
    assert_eq!(bench.line(&fits), (format!("{}\n", &fits[5..]), 0));
    for length in [1025 - 5, 5000] {
        let (output, status) = bench.line(&format!("echo {}", "x".repeat(length)));
        assert_eq!(
            output,
            "raede: the line is longer than 1024 bytes and was discarded\n"
        );
        assert_eq!(status, 2);
    }
    assert_eq!(bench.line("echo still here"), ("still here\n".into(), 0));
}

#[test]
fn invalid_utf8_is_replaced_and_said_once() {
    let mut bench = script();
    let printed = bench.type_and_wait(b"echo a\xff\xfeb \xe2\x82 \xc3\xa4\n", SECOND);
    let warning = "raede: the line had bytes that are not UTF-8; each place shows as \u{fffd}\n";
    assert_eq!(
        printed,
        format!("{warning}a\u{fffd}\u{fffd}b \u{fffd} ä\n\u{1e}0\n")
    );
    assert_eq!(bench.line("echo fine"), ("fine\n".into(), 0));
}

#[test]
fn every_command_has_help_and_rejects_nonsense() {
    let mut bench = script();
    let (list, status) = bench.line("help --json");
    assert_eq!(status, 0);
    let names: Vec<String> = rows(&list)
        .iter()
        .map(|entry| entry["command"].as_str().expect("a name").to_owned())
        .collect();
    let wanted = "help version ps top svc run kill caps ip ping dns netstat nc curl cores irq mem pci dmesg time sleep echo poweroff reboot panic";
    assert_eq!(names.join(" "), wanted);
    let (plain, _) = bench.line("help");
    for name in &names {
        assert!(plain.contains(&format!("  {name} ")), "{name} in help");
        let (usage, status) = bench.line(&format!("{name} --help"));
        assert_eq!(status, 0, "{name}");
        assert!(usage.starts_with(&format!("usage: {name}")), "{usage}");
        assert_eq!(bench.line(&format!("{name} -h")).0, usage);
        assert_eq!(bench.line(&format!("help {name}")).0, usage);
        let (error, status) = bench.line(&format!("{name} --no-such-option"));
        if name != "echo" {
            assert_eq!(status, 2, "{name}");
        }
        assert!(error.contains("--no-such-option"), "{error}");
        assert_eq!(error.lines().count(), 2, "{error}");
    }
    assert_eq!(bench.asked(), [""; 0], "--help does nothing");
    assert_eq!(bench.line("help nothere").1, 1);
    assert_eq!(
        bench.line("ps extra").0,
        "ps: \"extra\" is one word too many\nusage: ps [--json]\n"
    );
    assert_eq!(
        bench.line("ps --json=1").0.lines().next(),
        Some("ps: --json takes no value")
    );
}

#[test]
fn tables_are_valid_json_with_every_row() {
    let mut bench = script();
    bench.pass(4 * SECOND);
    let tasks = rows(&bench.line("ps --json").0);
    assert_eq!(tasks.len(), 32);
    let nasty = &tasks[31];
    assert_eq!(nasty["id"], "0.32.3");
    assert_eq!(nasty["name"], NASTY);
    assert_eq!(nasty["polls"], u64::MAX);
    assert_eq!(nasty["deadline_ns"], Value::Null);
    assert_eq!(
        (&tasks[2]["deadline_ns"], &tasks[2]["spawned_line"]),
        (&Value::from(5_000_000), &Value::from(42))
    );

    let cores = rows(&bench.line("cores --json").0);
    assert_eq!(cores[1]["state"], "idle");
    assert_eq!(cores[1]["load_permille"], 750);
    assert_eq!(cores[1]["tsc_offset_ticks"], -5);

    let irqs = rows(&bench.line("irq --json").0);
    assert_eq!(
        (&irqs[0]["vector"], &irqs[0]["total"]),
        (&Value::from(0x20), &Value::from(11))
    );
    assert_eq!(irqs[1]["source"], NASTY);
    assert_eq!(
        irqs[2]["counts"].as_array().map(Vec::len),
        Some(proto::MAX_CORES)
    );

    let pci = rows(&bench.line("pci --json").0);
    assert_eq!(pci[0]["address"], "0000:00:1f.2");
    assert_eq!(pci[0]["bars"][1]["size"], 4096);
    assert_eq!(pci[0]["class"], Value::from(vec![1, 6, 1]));
    assert_eq!(pci[1]["bars"], Value::Array(vec![]));

    let memory = json(&bench.line("mem --json").0);
    assert_eq!(memory["used_frames"], 31_072);
    assert_eq!(memory["kinds"][1]["kind"], NASTY);
    assert_eq!(memory["heap"]["peak"], 99_999);

    let time = json(&bench.line("time --json").0);
    assert_eq!(time["wall_clock"], "2026-01-02T03:04:05Z");
    let version = json(&bench.line("version --json").0);
    assert_eq!(
        (&version["cpu"], &version["screen"]["width"]),
        (&Value::from(NASTY), &Value::from(1280))
    );
    bench.system.state.lock().expect("free").bare = true;
    assert_eq!(
        json(&bench.line("time --json").0)["wall_clock"],
        Value::Null
    );
    assert_eq!(json(&bench.line("version --json").0)["screen"], Value::Null);

    let top = json(&bench.line("top --json").0);
    assert_eq!(top["tasks"][0]["name"], "busy");
    assert_eq!(top["cores"].as_array().map(Vec::len), Some(3));

    let log = rows(&bench.line("dmesg --json").0);
    assert_eq!(log.len(), 4);
    assert_eq!(log[1]["text"], NASTY);
    let grave = rows(&bench.line("dmesg --json --level=warn").0);
    assert_eq!(grave.len(), 2);
}

#[test]
fn empty_tables_are_valid_json() {
    let mut bench = script();
    {
        let mut state = bench.system.state.lock().expect("free");
        state.tasks.clear();
        state.log.clear();
    }
    assert_eq!(rows(&bench.line("ps --json").0), [Value::Null; 0]);
    assert_eq!(rows(&bench.line("dmesg --json").0), [Value::Null; 0]);
    assert_eq!(
        json(&bench.line("top --json").0)["tasks"],
        Value::Array(vec![])
    );
}

#[test]
fn tables_for_people() {
    let mut bench = script();
    bench.pass(2 * SECOND);
    let (tasks, _) = bench.line("ps");
    assert_eq!(
        tasks
            .lines()
            .filter(|line| line.contains("kernel/src/main.rs:42"))
            .count(),
        32
    );
    assert!(tasks.contains("5.00 ms"), "{tasks}");
    let (cores, _) = bench.line("cores");
    assert!(
        cores
            .lines()
            .nth(2)
            .is_some_and(|line| line.contains("25.0 %")),
        "{cores}"
    );
    let (irqs, _) = bench.line("irq");
    assert!(irqs.starts_with("vector source"), "{irqs}");
    assert!(
        irqs.lines()
            .nth(1)
            .is_some_and(|line| line.contains("0x20 timer")),
        "{irqs}"
    );
    let (pci, _) = bench.line("pci");
    assert!(
        pci.contains("0000:00:1f.2 8086:2922 rev 02  SATA controller [010601]  MSI 1, MSI-X 2048"),
        "{pci}"
    );
    assert!(
        pci.contains("bar 5: memory 0x00febf1000, 4.0 KiB, 64 bit, prefetchable"),
        "{pci}"
    );
    let (memory, _) = bench.line("mem");
    assert!(
        memory.contains("total                          131072    512.0 MiB"),
        "{memory}"
    );
    let (time, _) = bench.line("time");
    assert!(
        time.contains("tsc     2400.001 MHz, hpet, 5 windows, spread 12 ppm"),
        "{time}"
    );
    assert!(bench.line("version").0.starts_with("Raede 0.1.0\n"));
}

#[test]
fn dmesg_filters_tells_of_gaps_and_cannot_steer_the_terminal() {
    let mut bench = script();
    let (all, status) = bench.line("dmesg");
    assert_eq!(status, 0);
    assert_eq!(all.lines().count(), 5);
    assert!(all.contains("(1 records were overwritten before they could be read)"));
    assert!(all.contains("[    0.010500] info  test: first\n"), "{all}");
    assert!(!all.contains('\u{1b}'));
    let (grave, _) = bench.line("dmesg -l error");
    assert_eq!(
        grave.lines().last(),
        Some("[    0.016500] error test: last")
    );
    assert!(!grave.contains("first"));
    let (error, status) = bench.line("dmesg --level loud");
    assert_eq!(
        (error.lines().next(), status),
        (Some("dmesg: --level cannot be \"loud\""), 2)
    );
    assert_eq!(
        bench.line("dmesg -l").0.lines().next(),
        Some("dmesg: --level needs a value")
    );
}

#[test]
fn dmesg_follows_until_ctrl_c() {
    let mut bench = script();
    let printed = bench.type_and_wait("dmesg -f -lerror\n", SECOND);
    assert!(printed.ends_with("error test: last\n"), "{printed}");
    bench
        .system
        .state
        .lock()
        .expect("free")
        .log
        .push(log_row(12, Level::Error, "new"));
    assert!(
        bench
            .type_and_wait("", SECOND)
            .ends_with("error test: new\n")
    );
    assert_eq!(bench.type_and_wait("\u{3}", SECOND), "\u{1e}130\n");
    bench
        .type_and_wait("dmesg --json --follow\n", SECOND)
        .lines()
        .for_each(|line| {
            json(line);
        });
    assert_eq!(bench.type_and_wait("\u{3}", SECOND), "\u{1e}130\n");
}

#[test]
fn sleep_takes_decimals_and_ends_on_ctrl_c() {
    let mut bench = script();
    assert_eq!(bench.type_and_wait("sleep 1.5\n", SECOND + SECOND / 4), "");
    assert_eq!(bench.type_and_wait("", SECOND / 2), "\u{1e}0\n");
    assert_eq!(
        bench.type_and_wait("sleep 1000; echo not reached\n", SECOND),
        ""
    );
    assert_eq!(bench.type_and_wait("\u{3}", SECOND / 10), "\u{1e}130\n");
    assert_eq!(bench.line("sleep x").1, 2);
    assert_eq!(bench.line("sleep -1").1, 2);
    assert_eq!(
        bench.line("sleep").0.lines().next(),
        Some("sleep: SECONDS is missing")
    );
    assert_eq!(bench.line("sleep 99999999999999999999").1, 2);
}

#[test]
fn lines_typed_ahead_of_a_command_are_kept() {
    let mut bench = script();
    let printed = bench.type_and_wait("sleep 1\necho one\necho two\r\necho three\r", 2 * SECOND);
    assert_eq!(
        printed,
        "\u{1e}0\none\n\u{1e}0\ntwo\n\u{1e}0\nthree\n\u{1e}0\n"
    );
}

#[test]
fn top_counts_refreshes_and_shows_loads_between_them() {
    let mut bench = script();
    let (once, status) = bench.line("top");
    assert_eq!(status, 0);
    assert!(!once.contains('\u{1b}'));
    assert!(
        once.contains("32 tasks, 1 running, 0 queued   121.3 MiB of 512.0 MiB used"),
        "{once}"
    );
    let printed = bench.type_and_wait("top -n 3 -d 0.5\n", 2 * SECOND);
    assert_eq!(printed.matches("32 tasks").count(), 3);
    assert!(
        printed.contains("core 1   [###############     ]   75.0 %"),
        "{printed}"
    );
    assert!(printed.ends_with("\u{1e}0\n"));
    bench.type_and_wait("top -n 100\n", 2 * SECOND);
    assert!(
        bench
            .type_and_wait("\u{3}", SECOND / 10)
            .ends_with("\u{1e}130\n")
    );
    assert_eq!(bench.line("top -n 0").1, 2);
    assert_eq!(bench.line("top -d 0").1, 2);
    assert_eq!(bench.line("top -n x").1, 2);
}

#[test]
fn top_shows_who_used_the_time_between_two_refreshes() {
    let mut bench = script();
    bench.type_and_wait("top -n 2\n", SECOND / 2);
    bench.system.state.lock().expect("free").tasks[4].cpu_ns += SECOND / 2;
    let second = bench.type_and_wait("", SECOND);
    let tasks: Vec<_> = second
        .lines()
        .skip_while(|line| !line.starts_with("id"))
        .collect();
    assert!(tasks[1].starts_with("0.4.3"), "{second}");
    assert!(tasks[1].contains(" 50.0 %"), "{second}");
}

#[test]
fn the_machine_is_asked_and_a_refusal_is_said() {
    let mut bench = script();
    assert_eq!(
        bench.line("poweroff"),
        ("poweroff: not in a test\n".into(), 1)
    );
    assert_eq!(bench.line("reboot").1, 1);
    assert_eq!(bench.line("panic").1, 1);
    assert_eq!(bench.line("panic --yes see what happens").1, 1);
    let expected = [
        "poweroff",
        "reboot",
        "panic: asked for in the shell",
        "panic: see what happens",
    ];
    assert_eq!(bench.asked(), expected);
}
