//! Manifests that are right, and all the ways to be wrong.

use alloc::format;
use alloc::string::ToString;

use proptest::prelude::*;

use super::*;

fn parse(text: &str) -> Result<Manifest, ManifestError> {
    Manifest::parse("unit", "manifests/unit.toml", text)
}

fn wrong(text: &str) -> std::string::String {
    match parse(text) {
        Ok(manifest) => panic!("{text:?} was read as {manifest:?}"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn an_empty_manifest_is_the_default() {
    let manifest = parse("").expect("nothing is needed");
    assert_eq!(manifest, Manifest::new("unit"));
    assert_eq!(manifest.program, "servers/unit");
    assert_eq!(manifest.limits, JobLimits::NONE);
}

#[test]
fn the_example_in_the_documentation_is_read() {
    let example: std::string::String = include_str!("mod.rs")
        .lines()
        .skip_while(|line| *line != "//! ```toml")
        .skip(1)
        .take_while(|line| *line != "//! ```")
        .map(|line| format!("{}\n", line.trim_start_matches("//!")))
        .collect();
    let manifest = parse(&example).expect("the example is right");
    assert_eq!(manifest.program, "servers/shell");
    assert_eq!(manifest.arguments, ["--script"]);
    assert_eq!(manifest.needs, ["terminal.serial", "system"]);
    let devices: std::vec::Vec<_> = manifest.devices.iter().map(|name| name.device).collect();
    assert_eq!(
        devices,
        [Device::Virtio(1), Device::Numbered(0x8086, 0x10d3)]
    );
    assert_eq!(
        (manifest.uses[0].as_str(), manifest.offers[0].as_str()),
        ("echo", "prompt")
    );
    assert_eq!(
        manifest.health,
        Some(Health {
            every_ns: 500_000_000,
            misses: 3
        })
    );
    let reservation = manifest.reservation.expect("there is one");
    assert_eq!(
        (
            reservation.budget_ns,
            reservation.period_ns,
            reservation.soft
        ),
        (1_000_000, 10_000_000, 1)
    );
    assert_eq!(manifest.limits.memory_bytes, 16 << 20);
    assert_eq!(manifest.limits.reserved_ppm, 100_000);
    assert_eq!(
        manifest.state,
        [StateVmo {
            name: "cells".into(),
            bytes: 65536
        }]
    );
}

#[test]
fn errors_name_file_line_and_key() {
    for (text, error) in [
        (
            "\n\nrestart = \"yes\"",
            "manifests/unit.toml:3: restart: must be one of \"always\", \"on-failure\", \"never\"",
        ),
        (
            "[health]\nevery = 5",
            "manifests/unit.toml:2: health.every: must be text in quotes",
        ),
        (
            "[health]\nmisses = 5",
            "manifests/unit.toml:1: health.every: must be there",
        ),
        (
            "[health]\nevery = \"1 s\"\nmisses = 0",
            "manifests/unit.toml:3: health.misses: must be 1 to 1000",
        ),
        (
            "needs = [\n \"a\",\n \"a\"]",
            "manifests/unit.toml:3: needs: \"a\" is there twice",
        ),
        (
            "needs = [\"manager\"]",
            "manifests/unit.toml:1: needs: every process has \"manager\" already",
        ),
        (
            "uses = [\"A\"]",
            "manifests/unit.toml:1: uses: \"A\" is no name: 1 to 31 of a-z 0-9 - _ . and first a letter",
        ),
        (
            "needs = [\"a\"]\noffers = [\"a\"]",
            "manifests/unit.toml: \"a\" is there twice",
        ),
        (
            "[grants]\nnet = [\"connect\"]",
            "manifests/unit.toml: grants: \"net\" is neither in uses nor in may-use",
        ),
        (
            "may-use = [\"net\"]\ngrants.net = [\"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\"]",
            "manifests/unit.toml:2: grants.net: longer than 64 bytes",
        ),
        (
            "ready-within = \"5\"",
            "manifests/unit.toml:1: ready-within: must be a time like \"500 ms\" (ns, us, ms or s)",
        ),
        (
            "ready-within = \"0 s\"",
            "manifests/unit.toml:1: ready-within: must be 1 to 3600000000000",
        ),
        (
            "[limits]\nmemory = \"1 GB\"",
            "manifests/unit.toml:2: limits.memory: must be a size like \"64 KiB\" (B, KiB, MiB or GiB)",
        ),
        (
            "[limits]\nweight = -1",
            "manifests/unit.toml:2: limits.weight: must be 1 to 1048576",
        ),
        (
            "[limits]\nspeed = 1",
            "manifests/unit.toml:2: limits.speed: no manifest has such a key",
        ),
        (
            "devices = [\"8086:10d\"]",
            "manifests/unit.toml:1: devices: \"8086:10d\" is no device: virtio-net, virtio-block, virtio-gpu, virtio-input, i8042, or like 8086:10d3 or 0000:00:03.0",
        ),
        (
            "devices = [\"i8042\", \"i8042\"]",
            "manifests/unit.toml: \"i8042\" is there twice",
        ),
        (
            "nonsense = 1",
            "manifests/unit.toml:1: nonsense: no manifest has such a key",
        ),
        (
            "enabled = \"true\"",
            "manifests/unit.toml:1: enabled: must be true or false",
        ),
        (
            "arguments = \"a\"",
            "manifests/unit.toml:1: arguments: must be a list",
        ),
        (
            "arguments = [\"a\\u0000b\"]",
            "manifests/unit.toml:1: arguments: holds a zero byte",
        ),
        ("state = 1", "manifests/unit.toml:1: state: must be a table"),
        (
            "[reservation]\nbudget = \"2 ms\"\nperiod = \"1 ms\"",
            "manifests/unit.toml:1: reservation: budget must be at most the deadline, and that at most the period",
        ),
        (
            "[reservation]\nbudget = \"2 ms\"",
            "manifests/unit.toml:1: reservation.period: must be there",
        ),
    ] {
        assert_eq!(wrong(text), error);
    }
    assert!(wrong("a = \nb = 1").starts_with("manifests/unit.toml:1: not TOML: "));
    assert!(
        wrong("enabled = true\nenabled = true").starts_with("manifests/unit.toml:2: not TOML: ")
    );
    let many = format!("arguments = [{}]", "\"x\",".repeat(33));
    assert!(wrong(&many).ends_with("more than 32 entries"));
    let error = Manifest::parse("Unit", "manifests/Unit.toml", "").expect_err("a capital");
    assert!(
        error
            .to_string()
            .starts_with("manifests/Unit.toml: the file's name")
    );
}

#[test]
fn the_manifests_of_this_system_are_right() {
    for (name, text) in [
        (
            "shell-serial",
            include_str!("../../../shell/program/units/shell-serial.toml"),
        ),
        (
            "shell-screen",
            include_str!("../../../shell/program/units/shell-screen.toml"),
        ),
    ] {
        let manifest = Manifest::parse(name, name, text).expect("it is right");
        assert!(manifest.control && manifest.program == "servers/shell");
    }
    let console = include_str!("../../../console/program/units/console.toml");
    let console = Manifest::parse("console", "console", console).expect("it is right");
    assert!(console.needs.iter().any(|need| need == "framebuffer.info"));
}

#[test]
fn devices_are_named_by_kind_numbers_or_place() {
    let at = proto::PciAddress {
        segment: 0xabcd,
        bus: 0xff,
        device: 31,
        function: 7,
    };
    for (text, device) in [
        ("virtio-input", Some(Device::Virtio(18))),
        ("i8042", Some(Device::I8042)),
        ("8086:10D3", Some(Device::Numbered(0x8086, 0x10d3))),
        ("abcd:ff:1f.7", Some(Device::At(at))),
        ("abcd:ff:20.0", None),
        ("abcd:ff:1f.8", None),
        ("abcd:ff:1f", None),
        ("abcd:ff:1f.", None),
        ("abcd:ff:1f:0.0", None),
        ("+086:10d3", None),
        ("virtio", None),
        ("", None),
    ] {
        assert_eq!(Device::parse(text), device, "{text}");
    }
    let row = proto::PciRow {
        address: at,
        vendor: 0x1af4,
        device: 0x1041,
        ..proto::PciRow::default()
    };
    assert_eq!(Device::At(at).matches(&row), Some(0));
    assert_eq!(Device::Numbered(0x1af4, 0x1041).matches(&row), Some(1));
    assert_eq!(Device::Virtio(1).matches(&row), Some(2));
    assert_eq!(Device::Virtio(2).matches(&row), None);
    assert_eq!(Device::I8042.matches(&row), None);
}

#[test]
fn sizes_are_whole_pages() {
    let manifest = parse("[state]\na = \"1 B\"\n\"b.c\" = \"4097 B\"").expect("both are right");
    let sizes: std::vec::Vec<_> = manifest
        .state
        .iter()
        .map(|vmo| (vmo.name.as_str(), vmo.bytes))
        .collect();
    assert_eq!(sizes, [("a", 4096), ("b.c", 8192)]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_text_is_read_or_refused(text in "(?s).{0,80}") {
        let _ = parse(&text);
    }

    #[test]
    fn any_keys_and_values_are_read_or_refused(
        lines in prop::collection::vec((
            prop::sample::select(std::vec!["program", "arguments", "needs", "devices", "[health]", "[state]", "[limits]", "every", "misses", "memory",
                "weight", "ready-within", "log-lines", "budget", "[reservation]", "x"]),
            prop::sample::select(std::vec!["1", "-1", "18446744073709551616", "\"1 s\"", "\"9 KiB\"", "true", "[\"a\"]", "[]", "{}", "1.5", "0x10"]),
        ), 0..6)
    ) {
        let mut text = std::string::String::new();
        for (key, value) in lines {
            if key.starts_with('[') {
                text += key;
            } else {
                text += &format!("{key} = {value}");
            }
            text += "\n";
        }
        let _ = parse(&text);
    }
}

#[test]
fn grants_go_with_services() {
    let text =
        "uses = [\"echo\"]\nmay-use = [\"net\"]\n[grants]\nnet = [\"connect\", \"listen tcp 80\"]";
    let manifest = Manifest::parse("unit", "manifests/unit.toml", text).expect("a good one");
    assert_eq!(manifest.granted("net"), ["connect", "listen tcp 80"]);
    assert!(manifest.granted("echo").is_empty());
    assert!(manifest.may_connect("net") && manifest.may_connect("echo"));
    assert!(!manifest.may_connect("window"));
}
