use super::options::{LOG_LEVELS, OPTIONS};
use super::*;
use proptest::prelude::*;
use std::string::{String, ToString};
use std::vec::Vec;
use std::{format, vec};

fn line(text: &str) -> CommandLine {
    CommandLine::from_bytes(text.as_bytes())
}

fn pairs(text: &str) -> Vec<(String, Option<String>, Quoting)> {
    line(text)
        .words()
        .map(|w| (w.key.into(), w.value.map(Into::into), w.quoting))
        .collect()
}

#[test]
fn words_and_quotes() {
    let expect = |text, expected: &[(&str, Option<&str>, Quoting)]| {
        let expected: Vec<_> = expected
            .iter()
            .map(|&(k, v, q)| (k.to_string(), v.map(str::to_string), q))
            .collect();
        assert_eq!(pairs(text), expected, "{text:?}");
    };
    use Quoting::{Fine, Followed, Unclosed};
    expect("", &[]);
    expect("  \t\r\n ", &[]);
    expect(
        "a b=1\tc=",
        &[
            ("a", None, Fine),
            ("b", Some("1"), Fine),
            ("c", Some(""), Fine),
        ],
    );
    expect("a=b=c", &[("a", Some("b=c"), Fine)]);
    expect(
        "a=\"b c\" d",
        &[("a", Some("b c"), Fine), ("d", None, Fine)],
    );
    expect(
        "\"a=b c\" d",
        &[("a", Some("b c"), Fine), ("d", None, Fine)],
    );
    expect("\"a b\"", &[("a b", None, Fine)]);
    expect("a=\"b c", &[("a", Some("b c"), Unclosed)]);
    expect(
        "a=\"b\"c d",
        &[
            ("a", Some("b"), Followed),
            ("c", None, Fine),
            ("d", None, Fine),
        ],
    );
    expect(
        "a=b\"c d\"",
        &[("a", Some("b\"c"), Fine), ("d\"", None, Fine)],
    );
    expect("=x", &[("", Some("x"), Fine)]);
    expect("\"", &[("", None, Unclosed)]);
    expect("a=\"\"", &[("a", Some(""), Fine)]);
    expect("ä=ö", &[("ä", Some("ö"), Fine)]);
}

#[test]
fn numbers() {
    for (text, number) in [
        ("0", Some(0)),
        ("64M", Some(64 << 20)),
        ("4g", Some(4 << 30)),
        ("0x7fe0000", Some(0x7fe_0000)),
        ("0X10k", Some(16 << 10)),
        ("18446744073709551615", Some(u64::MAX)),
        ("18446744073709551616", None),
        ("16777216T", None),
        ("+5", None),
        ("-5", None),
        ("", None),
        ("K", None),
        ("0x", None),
        ("5MB", None),
        ("1ä", None),
    ] {
        assert_eq!(parse_number(text), number, "{text:?}");
    }
}

#[test]
fn typed_getters_take_the_last_word() {
    let line =
        line("smp=8 kaslr smp=2 loglevel=debug selftest=a selftest=\"b c\" bench.seed=7 keymap=de");
    assert_eq!(line.number("smp"), Ok(Some(2)));
    assert_eq!(line.number("mem_limit"), Ok(None));
    assert_eq!(line.flag("kaslr"), Ok(Some(true)));
    assert_eq!(line.flag("watchdog"), Ok(None));
    assert_eq!(line.choice("loglevel", LOG_LEVELS), Ok(Some(4)));
    assert_eq!(line.text("keymap"), Some("de"));
    assert_eq!(
        line.all("selftest")
            .filter_map(|w| w.value)
            .collect::<Vec<_>>(),
        ["a", "b c"]
    );
    assert_eq!(
        line.with_prefix("bench.")
            .map(|w| w.key)
            .collect::<Vec<_>>(),
        ["bench.seed"]
    );
}

#[test]
fn errors_name_the_word_and_what_is_accepted() {
    let line = line("smp=two kaslr=maybe loglevel mem_limit=");
    assert_eq!(
        line.number("smp").unwrap_err().to_string(),
        "option smp=two: not understood; it takes a number, decimal or 0x hexadecimal, with K, M, G or T if wanted; its default is used"
    );
    assert_eq!(
        line.flag("kaslr").unwrap_err().to_string(),
        "option kaslr=maybe: not understood; it takes on or off; its default is used"
    );
    assert_eq!(
        line.choice("loglevel", LOG_LEVELS).unwrap_err().to_string(),
        "option loglevel needs a value; it takes one of off error warn info debug trace; its default is used"
    );
    assert!(line.number("mem_limit").is_err());
}

fn diagnoses(text: &str) -> Vec<String> {
    line(text).diagnose().map(|d| d.to_string()).collect()
}

#[test]
fn diagnoses_say_what_happens() {
    assert_eq!(
        diagnoses("loglevel=info selftest=a selftest=b bench.x=1 log.serial acpi_rsdp=0x1000"),
        vec![""; 0]
    );
    assert_eq!(
        diagnoses("loglvel=info"),
        ["option loglvel is unknown and ignored; did you mean loglevel?"]
    );
    assert_eq!(diagnoses("xyzzy"), ["option xyzzy is unknown and ignored"]);
    assert_eq!(
        diagnoses("smp=1 smp=2"),
        ["option smp is given again later; the last one counts"]
    );
    assert_eq!(
        diagnoses("keymap=\"de"),
        ["option keymap: its closing quote is missing; it is read up to the end of the line"]
    );
    assert_eq!(
        diagnoses("bench.=1"),
        ["option bench. is unknown and ignored"]
    );
    assert_eq!(
        diagnoses("selftest"),
        ["option selftest needs a value; it takes a text; its default is used"]
    );
    let bad = CommandLine::from_bytes(b"keymap=\xff\xfe \xc3");
    assert_eq!(bad.as_str(), "keymap=?? ?");
    assert_eq!(
        bad.diagnose().next().unwrap().to_string(),
        "the command line has 3 byte sequences that are not UTF-8, each read as '?'"
    );
    let long = "x ".repeat(MAX_COMMAND_LINE_BYTES);
    assert!(matches!(
        line(&long).diagnose().next(),
        Some(Diagnosis::Truncated)
    ));
}

#[test]
fn nearest_names() {
    let near = |word| nearest(word, OPTIONS.iter().map(|option| option.name));
    assert_eq!(near("klasr"), Some("kaslr"));
    assert_eq!(near("shell-serial"), Some("shell.serial"));
    assert_eq!(near("memlimit"), Some("mem_limit"));
    assert_eq!(near("SMP"), Some("smp"));
    assert_eq!(near("quiet"), None);
    assert_eq!(near("x"), None);
    assert_eq!(near(&"loglevel".repeat(9)), None);
}

#[test]
fn the_table_is_sorted_and_complete() {
    assert!(OPTIONS.is_sorted_by_key(|option| option.name));
    for option in OPTIONS {
        assert!(!option.help.is_empty() && !option.help.ends_with('.') && option.name.len() <= 32);
    }
}

proptest! {
    #[test]
    fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..3000)) {
        let line = CommandLine::from_bytes(&bytes);
        let mut words = 0;
        for word in line.words() {
            prop_assert!(!word.key.contains(' ') || word.value.is_none() || word.key.len() < line.as_str().len());
            words += 1;
        }
        prop_assert!(words <= line.as_str().len());
        for diagnosis in line.diagnose().take(20) {
            prop_assert!(!diagnosis.to_string().is_empty());
        }
    }

    #[test]
    fn written_words_are_read_back(
        words in prop::collection::vec(("[a-zä._]{1,8}", prop::option::of("[a-z =ö]{0,8}")), 0..20)
    ) {
        let written: Vec<String> = words.iter().map(|(key, value)| match value {
            Some(value) => format!("{key}=\"{value}\""),
            None => key.clone(),
        }).collect();
        let expected: Vec<_> = words.into_iter().map(|(key, value)| (key, value, Quoting::Fine)).collect();
        prop_assert_eq!(pairs(&written.join(" ")), expected);
    }
}
