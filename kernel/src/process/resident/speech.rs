//! What resident servers say: records that their code makes by the `log` crate's macros, which are the kernel's own.

use abi::Handle;
use hal::user::{KernelSection, contain};
use kerncore::text::FixedText;
use objects::channel::Message;
use objects::refs::Ref;
use rt::sys::gate::Own;

use super::{Resident, running};
use crate::process::object::Object;
use crate::process::thread::Thread;

/// Longest text; what is beyond it is cut off.
const TEXT_BYTES: usize = 240;
type Text = FixedText<TEXT_BYTES>;

/// Takes a record of a resident server's: `false` if this core does not run one. It goes into the log under the server's name, and
/// as a line to who listens to its output.
pub fn says(record: &log::Record<'_>) -> bool {
    if !contain::runs_in_arena() {
        return false;
    }
    // First and outside of all locks: this runs code of the server's.
    let mut text = Text::format(*record.args());
    let _section = KernelSection::new();
    let Some(thread) = running::thread() else {
        return false;
    };
    clean(&mut text);
    log::log!(target: thread.process.name(), record.level(), "{}", text.as_str());
    put_out(&thread, &text);
    true
}

/// A record is one line, and nothing in it speaks to a terminal.
fn clean(text: &mut Text) {
    if text.as_str().chars().any(char::is_control) {
        let mut cleaned = Text::new();
        for piece in text.as_str().split(char::is_control) {
            if !cleaned.is_empty() {
                cleaned.push_str(" ");
            }
            cleaned.push_str(piece);
        }
        *text = cleaned;
    }
}

/// A server's last words, which the kernel says for it.
pub fn last_words(thread: &Ref<Thread>, text: &Text) {
    log::error!(target: thread.process.name(), "{}", text.as_str());
    put_out(thread, text);
}

/// Puts a line out, if anybody listens and takes it.
fn put_out(thread: &Thread, text: &Text) {
    let output = |resident: &Ref<Resident>| resident.own.get(Own::Output as usize).copied();
    let Some(handle) = thread.process.resident().and_then(output) else {
        return;
    };
    let handles = &thread.process.handles;
    let Ok(entry) = handles.get(Handle(handle), abi::Rights::WRITE) else {
        return;
    };
    let Object::Channel(channel) = entry.object() else {
        return;
    };
    let bytes = text.as_str().as_bytes();
    let Ok(mut message) = Message::new(thread.process.account(), bytes.len() + 1, 0) else {
        return;
    };
    let place = message.bytes_mut();
    if let Some((end, line)) = place.split_last_mut() {
        line.copy_from_slice(bytes);
        *end = b'\n';
    }
    // If nobody takes the lines before it, it is left out.
    if let Ok(taken) = handles.take(&[]) {
        let _ = channel.write(message, taken);
    }
}
