//! From TOML to a [`Manifest`].

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use abi::memory::{MAX_VMO_BYTES, PAGE_BYTES};
use abi::process::ReservationArgs;
use proto::Placement;
use proto::manager::MAX_GRANT_BYTES;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::units::{duration_ns, size_bytes};
use super::{
    Device, DeviceName, Health, MAX_LIST, MAX_LOG_LINES, Manifest, ManifestError, Problem,
    Readiness, Restart, StateVmo, is_name,
};

const SECOND_NS: u64 = 1_000_000_000;
const HOUR_NS: u64 = 3600 * SECOND_NS;
/// Names that every process has for itself.
const RESERVED: [&str; 8] = [
    "process", "thread", "job", "log", "manager", "output", "stop", "devices",
];

/// Where errors are.
struct Place<'a> {
    file: &'a str,
    text: &'a str,
}

impl Place<'_> {
    fn error(&self, at: usize, key: &str, problem: Problem) -> ManifestError {
        let before = self.text.as_bytes().iter().take(at);
        let line = 1 + before.filter(|&&byte| byte == b'\n').count();
        ManifestError {
            file: self.file.into(),
            line: u32::try_from(line).unwrap_or(u32::MAX),
            key: key.into(),
            problem,
        }
    }
}

/// A value with what an error about it says.
struct Entry<'a> {
    place: &'a Place<'a>,
    key: String,
    at: usize,
    value: &'a DeValue<'a>,
}

type Read<T> = Result<T, ManifestError>;

impl<'a> Entry<'a> {
    fn fail<T>(&self, problem: Problem) -> Read<T> {
        Err(self.place.error(self.at, &self.key, problem))
    }

    fn text(&self) -> Read<&'a str> {
        match self.value {
            DeValue::String(text) if text.contains('\0') => self.fail(Problem::Zero),
            DeValue::String(text) => Ok(text),
            _ => self.fail(Problem::Type("text in quotes")),
        }
    }

    fn flag(&self) -> Read<bool> {
        match self.value {
            DeValue::Boolean(flag) => Ok(*flag),
            _ => self.fail(Problem::Type("true or false")),
        }
    }

    fn number(&self, from: u64, to: u64) -> Read<u64> {
        let DeValue::Integer(integer) = self.value else {
            return self.fail(Problem::Type("a whole number"));
        };
        // Digits without underscores, as the parser gives them; a sign makes it fail.
        match u64::from_str_radix(integer.as_str(), integer.radix()) {
            Ok(number) if (from..=to).contains(&number) => Ok(number),
            _ => self.fail(Problem::Range(from, to)),
        }
    }

    fn number_u32(&self, from: u32, to: u32) -> Read<u32> {
        let number = self.number(from.into(), to.into())?;
        Ok(u32::try_from(number).unwrap_or(to))
    }

    fn duration(&self) -> Read<u64> {
        match duration_ns(self.text()?) {
            Some(ns @ 1..=HOUR_NS) => Ok(ns),
            Some(_) => self.fail(Problem::Range(1, HOUR_NS)),
            None => self.fail(Problem::Duration),
        }
    }

    fn size(&self, most: u64) -> Read<u64> {
        match size_bytes(self.text()?) {
            Some(bytes) if (1..=most).contains(&bytes) => Ok(bytes),
            Some(_) => self.fail(Problem::Range(1, most)),
            None => self.fail(Problem::Size),
        }
    }

    fn choice<T: Copy>(&self, all: &'static str, choices: &[(&str, T)]) -> Read<T> {
        let text = self.text()?;
        match choices.iter().find(|(word, _)| *word == text) {
            Some((_, choice)) => Ok(*choice),
            None => self.fail(Problem::Choice(all)),
        }
    }

    fn list(&self) -> Read<Vec<Entry<'a>>> {
        let DeValue::Array(array) = self.value else {
            return self.fail(Problem::Type("a list"));
        };
        if array.len() > MAX_LIST {
            return self.fail(Problem::TooMany(MAX_LIST));
        }
        let entry = |value: &'a Spanned<DeValue<'a>>| Entry {
            place: self.place,
            key: self.key.clone(),
            at: value.span().start,
            value: value.get_ref(),
        };
        Ok(array.iter().map(entry).collect())
    }

    fn texts(&self) -> Read<Vec<String>> {
        let entries = self.list()?;
        entries
            .iter()
            .map(|entry| entry.text().map(ToOwned::to_owned))
            .collect()
    }

    /// Names, each once, and none that is `taken`.
    fn names(&self, taken: &[&str]) -> Read<Vec<String>> {
        let mut names: Vec<String> = Vec::new();
        for entry in self.list()? {
            let name = entry.text()?;
            entry.check_name(name, taken)?;
            if names.iter().any(|other| other == name) {
                return entry.fail(Problem::Twice(name.into()));
            }
            names.push(name.into());
        }
        Ok(names)
    }

    fn check_name(&self, name: &str, taken: &[&str]) -> Read<()> {
        if !is_name(name) {
            return self.fail(Problem::Name(name.into()));
        }
        if taken.contains(&name) {
            return self.fail(Problem::Reserved(name.into()));
        }
        Ok(())
    }

    fn table(&self) -> Read<Vec<Entry<'a>>> {
        match self.value {
            DeValue::Table(table) => Ok(entries(self.place, &self.key, table)),
            _ => self.fail(Problem::Type("a table")),
        }
    }

    /// The last part of the key.
    fn name(&self) -> &str {
        self.key.rsplit('.').next().unwrap_or_default()
    }
}

fn entries<'a>(place: &'a Place<'a>, table: &str, content: &'a DeTable<'a>) -> Vec<Entry<'a>> {
    content
        .iter()
        .map(|(key, value)| Entry {
            place,
            key: match table {
                "" => key.get_ref().as_ref().into(),
                _ => format!("{table}.{}", key.get_ref()),
            },
            at: key.span().start,
            value: value.get_ref(),
        })
        .collect()
}

pub fn manifest(name: &str, file: &str, text: &str) -> Read<Manifest> {
    let place = Place { file, text };
    if !is_name(name) {
        let mut error = place.error(0, "", Problem::FileName);
        error.line = 0;
        return Err(error);
    }
    let table = DeTable::parse(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        place.error(at, "", Problem::Syntax(error.message().into()))
    })?;
    let mut manifest = Manifest::new(name);
    for entry in entries(&place, "", table.get_ref()) {
        top_level(&mut manifest, &entry)?;
    }
    for (service, _) in &manifest.grants {
        if !manifest.may_connect(service) {
            let mut error = place.error(0, "grants", Problem::NotUsed(service.clone()));
            error.line = 0;
            return Err(error);
        }
    }
    // A handle's name says one thing.
    let state = manifest.state.iter().map(|vmo| &vmo.name);
    let services = manifest.uses.iter().chain(&manifest.may_use);
    let devices = manifest.devices.iter().map(|device| &device.text);
    let handles = manifest.needs.iter().chain(services).chain(state);
    let handles = handles.chain(devices);
    let mut seen: Vec<&String> = Vec::new();
    for name in handles.chain(&manifest.offers) {
        if seen.contains(&name) {
            let mut error = place.error(0, "", Problem::Twice(name.clone()));
            error.line = 0;
            return Err(error);
        }
        seen.push(name);
    }
    Ok(manifest)
}

fn top_level(manifest: &mut Manifest, entry: &Entry<'_>) -> Read<()> {
    match entry.key.as_str() {
        "program" => manifest.program = entry.text()?.into(),
        "arguments" => manifest.arguments = entry.texts()?,
        "enabled" => manifest.enabled = entry.flag()?,
        "placement" => {
            let choices = [
                (Placement::Isolated.word(), Placement::Isolated),
                (Placement::Resident.word(), Placement::Resident),
            ];
            manifest.placement = entry.choice("\"isolated\", \"resident\"", &choices)?;
        }
        "needs" => manifest.needs = entry.names(&RESERVED)?,
        "devices" => manifest.devices = devices(entry)?,
        "hot-plug" => manifest.hot_plug = entry.flag()?,
        "uses" => manifest.uses = entry.names(&RESERVED)?,
        "may-use" => manifest.may_use = entry.names(&RESERVED)?,
        "offers" => manifest.offers = entry.names(&RESERVED)?,
        "grants" => manifest.grants = grants(entry)?,
        "after" => manifest.after = entry.names(&[])?,
        "control" => manifest.control = entry.flag()?,
        "restart" => {
            let choices = [
                ("always", Restart::Always),
                ("on-failure", Restart::OnFailure),
                ("never", Restart::Never),
            ];
            manifest.restart = entry.choice("\"always\", \"on-failure\", \"never\"", &choices)?;
        }
        "ready" => {
            let choices = [("call", Readiness::Call), ("start", Readiness::Start)];
            manifest.readiness = entry.choice("\"call\", \"start\"", &choices)?;
        }
        "ready-within" => manifest.ready_within_ns = entry.duration()?,
        "stop-within" => manifest.stop_within_ns = Some(entry.duration()?),
        "log-lines" => manifest.log_lines = entry.number_u32(1, MAX_LOG_LINES)?,
        "health" => manifest.health = Some(health(entry)?),
        "reservation" => manifest.reservation = Some(reservation(entry)?),
        "limits" => {
            for limit in entry.table()? {
                limits(manifest, &limit)?;
            }
        }
        "state" => manifest.state = state(entry)?,
        _ => return entry.fail(Problem::UnknownKey),
    }
    Ok(())
}

fn devices(list: &Entry<'_>) -> Read<Vec<DeviceName>> {
    let mut devices = Vec::new();
    for entry in list.list()? {
        let text = entry.text()?;
        match Device::parse(text) {
            Some(device) => devices.push(DeviceName {
                text: text.into(),
                device,
            }),
            None => return entry.fail(Problem::Device(text.into())),
        }
    }
    Ok(devices)
}

fn health(table: &Entry<'_>) -> Read<Health> {
    let (mut every_ns, mut misses) = (None, 3);
    for entry in table.table()? {
        match entry.name() {
            "every" => every_ns = Some(entry.duration()?),
            "misses" => misses = entry.number_u32(1, 1000)?,
            _ => return entry.fail(Problem::UnknownKey),
        }
    }
    match every_ns {
        Some(every_ns) => Ok(Health { every_ns, misses }),
        None => missing(table, "every"),
    }
}

fn missing<T>(table: &Entry<'_>, key: &str) -> Read<T> {
    let key = format!("{}.{key}", table.key);
    Err(table.place.error(table.at, &key, Problem::Missing))
}

fn reservation(table: &Entry<'_>) -> Read<ReservationArgs> {
    let mut arguments = ReservationArgs::default();
    for entry in table.table()? {
        match entry.name() {
            "budget" => arguments.budget_ns = entry.duration()?,
            "period" => arguments.period_ns = entry.duration()?,
            "deadline" => arguments.deadline_ns = entry.duration()?,
            "core" => arguments.core = entry.number_u32(0, u32::from(u16::MAX))?,
            "soft" => arguments.soft = u32::from(entry.flag()?),
            _ => return entry.fail(Problem::UnknownKey),
        }
    }
    if arguments.budget_ns == 0 {
        return missing(table, "budget");
    }
    if arguments.period_ns == 0 {
        return missing(table, "period");
    }
    let deadline_ns = match arguments.deadline_ns {
        0 => arguments.period_ns,
        deadline_ns => deadline_ns,
    };
    if arguments.budget_ns > deadline_ns || deadline_ns > arguments.period_ns {
        return table.fail(Problem::Reservation);
    }
    Ok(arguments)
}

fn limits(manifest: &mut Manifest, entry: &Entry<'_>) -> Read<()> {
    const MOST: u64 = u32::MAX as u64;
    let limits = &mut manifest.limits;
    match entry.name() {
        "memory" => limits.memory_bytes = entry.size(MAX_VMO_BYTES)?,
        "kernel-memory" => limits.kernel_bytes = entry.size(MAX_VMO_BYTES)?,
        "handles" => limits.handles = entry.number(1, MOST)?,
        "processes" => limits.processes = entry.number(1, MOST)?,
        "threads" => limits.threads = entry.number(1, MOST)?,
        "reserved-ppm" => limits.reserved_ppm = entry.number(0, 1_000_000 * 64)?,
        "cpu-ppm" => limits.cpu_ppm = entry.number(1, 1_000_000 * 64)?,
        "weight" => limits.weight = entry.number(1, 1 << 20)?,
        _ => return entry.fail(Problem::UnknownKey),
    }
    Ok(())
}

fn grants(table: &Entry<'_>) -> Read<Vec<(String, Vec<String>)>> {
    let mut grants = Vec::new();
    for entry in table.table()? {
        let words = entry.texts()?;
        if words.iter().any(|word| word.len() > MAX_GRANT_BYTES) {
            return entry.fail(Problem::TooLong(MAX_GRANT_BYTES));
        }
        // A name with a dot is quoted in TOML, and the key still begins with the table's.
        let service = entry.key.strip_prefix("grants.").unwrap_or_default();
        grants.push((service.into(), words));
    }
    Ok(grants)
}

fn state(table: &Entry<'_>) -> Read<Vec<StateVmo>> {
    let entries = table.table()?;
    if entries.len() > MAX_LIST {
        return table.fail(Problem::TooMany(MAX_LIST));
    }
    let mut vmos = Vec::new();
    for entry in entries {
        // A name with a dot is quoted in TOML, and the key still begins with the table's.
        let name = entry.key.strip_prefix("state.").unwrap_or_default();
        entry.check_name(name, &RESERVED)?;
        vmos.push(StateVmo {
            name: name.into(),
            bytes: entry.size(MAX_VMO_BYTES)?.next_multiple_of(PAGE_BYTES),
        });
    }
    Ok(vmos)
}
