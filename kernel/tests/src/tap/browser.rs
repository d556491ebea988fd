//! A browser opens the status page, and sees its numbers move.

use std::fs;
use std::path::Path;

use xtask::host;
use xtask::packages::{self, Tool};

use super::{FIRST_ADDRESS, Outcome, World, wait_address};
use crate::scenario::{Skip, Verdict};
use crate::session::Session;

/// How long the page's clock runs before the browser looks at it: it asks for figures each second.
const BUDGET_MS: u32 = 4000;
/// Where the picture is left, among the build's screens.
const PICTURE: &str = "status-page.png";

/// What the page says: how long the machine is up, and how many requests were answered.
fn figures(page: &str) -> Outcome<(u64, u64)> {
    let number = |before: &str| -> Outcome<u64> {
        let rest = page.split(before).nth(1).unwrap_or_default();
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        Ok(digits
            .parse()
            .map_err(|_| format!("no figure behind {before:?}: {page}"))?)
    };
    Ok((
        number("<span id=\"state\">up ")?,
        number("<small id=\"asked\">")?,
    ))
}

/// Runs the browser on the page with these options, as root and without any network but the machine's; what it prints.
fn browse(world: &World, options: &[&str]) -> Outcome<String> {
    let profile = world.folder.join("profile");
    // There is none the first time.
    let _ = fs::remove_dir_all(&profile);
    let mut command = world.namespace.command("timeout");
    command.args(["120", "chromium"]);
    command.args([
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--hide-scrollbars",
        "--window-size=1200,1500",
    ]);
    command.arg(format!("--user-data-dir={}", profile.display()));
    command.arg(format!("--virtual-time-budget={BUDGET_MS}"));
    command.args(options);
    command.arg(format!("http://{FIRST_ADDRESS}/"));
    Ok(host::run_captured(&mut command)?)
}

/// Two looks at the page show other figures, and there is a picture of it.
pub fn page(session: &mut Session, world: &World) -> Verdict {
    packages::require(&[Tool::Chromium]).map_err(|error| Skip(error.to_string()))?;
    wait_address(session, FIRST_ADDRESS)?;
    let first = figures(&browse(world, &["--dump-dom"])?)?;
    let second = figures(&browse(world, &["--dump-dom"])?)?;
    if second.0 <= first.0 || second.1 <= first.1 {
        return Err(format!("the figures do not move: {first:?}, {second:?}").into());
    }
    // One request is for the page: there were more, so it asked for figures again and again.
    let asked = second.1 - first.1;
    if asked < 3 {
        return Err(format!("the page asked {asked} times only").into());
    }
    let screens = host::target_dir().join("screens");
    fs::create_dir_all(&screens)?;
    let picture = screens.join(PICTURE);
    browse(world, &[&format!("--screenshot={}", picture.display())])?;
    let bytes = fs::metadata(&picture)?.len();
    Ok(format!(
        "{} s, then {} s up; {asked} requests; {} has {bytes} bytes",
        first.0,
        second.0,
        Path::new("screens").join(PICTURE).display()
    ))
}
