//! The shell with a person at its terminal.

mod common;

use common::{Bench, Fake, Row, SECOND};
use rt::Pipe;
use shell::{Config, Mode};
use testkit::Sim;

fn interactive() -> Bench {
    let mut bench = Bench::new(Mode::Interactive);
    assert_eq!(bench.printed(), "\rraede> \x1b[K");
    bench
}

/// What the last row of the terminal shows.
fn last_row(printed: &str) -> String {
    let mut row = Row::default();
    row.write(printed.rsplit("\r\n").next().unwrap_or_default());
    row.text()
}

/// Types a line and gives what its commands printed.
fn output(bench: &mut Bench, typed: &str) -> Vec<String> {
    let printed = bench.type_and_wait(typed, SECOND);
    let mut lines: Vec<_> = printed.split("\r\n").skip(1).map(str::to_owned).collect();
    assert_eq!(last_row(&lines.pop().expect("a prompt")), "raede>");
    assert!(lines.iter().all(|line| !line.contains('\n')));
    lines
}

#[test]
fn a_line_is_echoed_run_and_prompted_for_again() {
    let mut bench = interactive();
    assert_eq!(bench.type_and_wait("echo hi", SECOND), "echo hi");
    assert_eq!(
        bench.type_and_wait("\r", SECOND),
        "\r\nhi\r\n\rraede> \x1b[K"
    );
}

#[test]
fn editing_keys() {
    let mut bench = interactive();
    assert_eq!(
        output(
            &mut bench,
            "xho wodrl\x01\x1b[3~ec\x05\x7f\x7f\x7frld\x1b[D\x1b[D\x1b[D\x08ol\x05!\r"
        ),
        ["wolrld!"]
    );
    assert_eq!(
        output(&mut bench, "echo one two three\x17\x17\x1b[Hx\x08\x1b[F2\r"),
        ["one 2"]
    );
    assert_eq!(
        output(&mut bench, "rubbish\x15echo ok rubbish\x1b[1;5D\x0b\r"),
        ["ok"]
    );
    assert_eq!(output(&mut bench, "echo äöü\x1b[D\x7f\x04é\r"), ["äé"]);
    assert_eq!(
        output(&mut bench, "echo a\x1b[5~\x1b[99;99~\x1bxb\r"),
        ["ab"]
    );
}

#[test]
fn what_a_terminal_answers_by_itself_is_not_typed() {
    let mut bench = interactive();
    let typed = "echo a\x1b]11;rgb:0000/0000/0000\x07b\x1b]0;x\x1b\\c\x1b[?1;2c\x1b[12;40Rd\r";
    assert_eq!(output(&mut bench, typed), ["abcd"]);
}

#[test]
fn history_up_down_and_search() {
    let mut bench = interactive();
    for line in ["echo first", "echo second", "echo third"] {
        output(&mut bench, &format!("{line}\r"));
    }
    assert_eq!(output(&mut bench, "\x1b[A\x1b[A\r"), ["second"]);
    assert_eq!(
        output(&mut bench, "draft\x1b[A\x1b[A\x1b[A\x1b[A\x1b[A\x1b[B\r"),
        ["second"]
    );
    assert_eq!(
        output(&mut bench, "echo kept\x1bOA\x1bOB\x1bOB\r"),
        ["kept"]
    );
    assert_eq!(output(&mut bench, "fir\x12\r"), ["first"]);
    assert_eq!(output(&mut bench, "echo\x12\x12\x12\r"), ["second"]);
    // Nothing found: the line stays.
    assert_eq!(output(&mut bench, "echo new\x12\r"), ["new"]);
}

#[test]
fn completion_of_commands_options_and_values() {
    let mut bench = interactive();
    assert!(
        last_row(&format!(
            "\rraede> {}",
            bench.type_and_wait("ver\t", SECOND)
        ))
        .ends_with("version")
    );
    let printed = bench.type_and_wait("--j\t", SECOND);
    assert_eq!(printed, "--json ");
    bench.type_and_wait("\x15", SECOND);
    assert_eq!(
        bench.type_and_wait("echo x; dm\t--l\tw\t", SECOND),
        "echo x; dmesg --level warn "
    );
    bench.type_and_wait("\x15", SECOND);
    // More than one: listed, and the line shown again.
    let printed = bench.type_and_wait("p\t", SECOND);
    assert!(
        printed.contains("\r\nps  ping  pci  poweroff  panic  \r\n"),
        "{printed:?}"
    );
    assert_eq!(last_row(&printed), "raede> p");
    bench.type_and_wait("\x15", SECOND);
    assert_eq!(bench.type_and_wait("nothere --\t", SECOND), "nothere --");
    bench.type_and_wait("\x15", SECOND);
    assert_eq!(bench.type_and_wait("help re\t", SECOND), "help reboot ");
    bench.type_and_wait("\x15", SECOND);
    assert_eq!(bench.type_and_wait("run s\t", SECOND), "run spin ");
    bench.type_and_wait("\x15", SECOND);
    let printed = bench.type_and_wait("run h\t", SECOND);
    assert!(printed.contains("hello  hostile"), "{printed:?}");
}

#[test]
fn ctrl_c_and_ctrl_d() {
    let mut bench = interactive();
    assert_eq!(
        bench.type_and_wait("echo no\x03", SECOND),
        "echo no^C\r\n\rraede> \x1b[K"
    );
    assert_eq!(output(&mut bench, "echo $?\r"), ["130"]);
    let printed = bench.type_and_wait("\x04", SECOND);
    assert!(printed.contains("use `poweroff` or `reboot`"), "{printed}");
    assert_eq!(last_row(&printed), "raede>");
    bench.type_and_wait("sleep 100\r", SECOND);
    assert_eq!(
        bench.type_and_wait("typed ahead\x03", SECOND),
        "^C\r\n\rraede> \x1b[K"
    );
}

#[test]
fn clearing_the_screen_keeps_the_line() {
    let mut bench = interactive();
    assert_eq!(
        bench.type_and_wait("abc\x0c", SECOND),
        "abc\x1b[H\x1b[2J\rraede> abc\x1b[K"
    );
}

#[test]
fn an_over_long_line_is_discarded() {
    let mut bench = interactive();
    let lines = output(&mut bench, &format!("echo {}\r", "x".repeat(2000)));
    assert_eq!(
        lines,
        ["raede: the line is longer than 1024 bytes and was discarded"]
    );
    assert_eq!(output(&mut bench, "echo $?\r"), ["2"]);
}

#[test]
fn a_burst_of_500_bytes_is_complete_and_cheap_to_echo() {
    let mut bench = interactive();
    let text: String = (0..495)
        .map(|index| char::from(b'a' + (index % 26) as u8))
        .collect();
    let printed = bench.type_and_wait(format!("echo {text}"), SECOND);
    assert!(printed.len() < 4000, "{} bytes of echo", printed.len());
    assert_eq!(output(&mut bench, "\r"), [text]);
}

#[test]
fn panic_asks_first() {
    let mut bench = interactive();
    let printed = bench.type_and_wait("panic\r", SECOND);
    assert!(
        printed.ends_with("Panic the kernel now? [y/N] "),
        "{printed}"
    );
    bench.type_and_wait("\r", SECOND);
    assert_eq!(bench.asked(), [""; 0]);
    bench.type_and_wait("panic boom\ry", SECOND);
    bench.type_and_wait("panic -y\r", SECOND);
    assert_eq!(
        bench.asked(),
        ["panic: boom", "panic: asked for in the shell"]
    );
}

#[test]
fn top_takes_the_screen_and_gives_it_back() {
    let mut bench = interactive();
    let printed = bench.type_and_wait("top\r", 3 * SECOND);
    assert!(printed.contains("\x1b[?25l\x1b[2J\x1b[Hup"), "{printed:?}");
    assert!(printed.matches("\x1b[Hup").count() >= 3);
    for screen in printed.split("\x1b[H").skip(1) {
        assert!(screen.matches("\r\n").count() < 24, "fits the terminal");
    }
    let printed = bench.type_and_wait("xq", SECOND / 10);
    assert!(printed.contains("\x1b[?25h"), "{printed:?}");
    assert_eq!(last_row(&printed), "raede>");
    bench.type_and_wait("top\r", SECOND);
    bench.type_and_wait("\x03", SECOND);
    assert_eq!(output(&mut bench, "echo $?\r"), ["130"]);
}

#[test]
fn an_idle_shell_is_silent() {
    let sim = Sim::new();
    let pipe: &'static Pipe<16> = Box::leak(Box::new(Pipe::new()));
    let out: &'static Pipe<64> = Box::leak(Box::new(Pipe::new()));
    let (_typist, input) = pipe.split().expect("first");
    let (output, _reader) = out.split().expect("first");
    let system = Fake::new(sim.clock());
    let mut sim = sim;
    sim.spawn("shell", async move {
        shell::run(Config::default(), &input, &output, &system).await;
    });
    sim.run();
    let polls = sim.polls();
    assert!(polls < 5, "{polls}");
    sim.run();
    assert_eq!(sim.polls(), polls);
    assert_eq!(sim.clock().armed(), 0);
}

#[test]
fn the_future_has_a_bounded_size_and_may_move_between_cores() {
    fn is_send<T: Send>(value: T) -> T {
        value
    }
    let pipe: &'static Pipe<16> = Box::leak(Box::new(Pipe::new()));
    let (sink, source) = pipe.split().expect("first");
    let system = Fake::new(Sim::new().clock());
    let future = is_send(shell::run(Config::default(), &source, &sink, &system));
    let bytes = size_of_val(&future);
    assert!(bytes < 40 << 10, "{bytes} bytes");
}

#[test]
fn a_closed_terminal_ends_the_shell() {
    let mut sim = Sim::new();
    let pipe: &'static Pipe<16> = Box::leak(Box::new(Pipe::new()));
    let out: &'static Pipe<64> = Box::leak(Box::new(Pipe::new()));
    let (typist, input) = pipe.split().expect("first");
    let (output, _reader) = out.split().expect("first");
    let system = Fake::new(sim.clock());
    sim.spawn("shell", async move {
        shell::run(Config::default(), &input, &output, &system).await;
    });
    sim.run();
    assert_eq!(sim.unfinished(), ["shell"]);
    drop(typist);
    sim.run();
    assert_eq!(sim.unfinished(), [""; 0]);
}
