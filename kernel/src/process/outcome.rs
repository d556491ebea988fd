//! What a system call comes to.

use abi::Call;
use hal::user::Exit;
use objects::refs::Ref;

use super::thread::Thread;

/// Two results, for `rax` and `rdx`.
pub type Results = (u64, u64);

/// What becomes of the thread that made a system call.
pub enum Outcome {
    /// It goes on; its registers hold what they shall.
    Set,
    /// The call may take long or wait: `calls` has it.
    Long(Call),
    /// It drives another thread.
    Drive,
    /// It waits for the bits of a notification, as its registers say.
    Take,
    /// It asks the same again when its task is woken.
    Again,
    /// It waits for the answer to its pending call.
    Answer,
    /// The same, and this thread of its core answers, in the caller's poll.
    Enter(Ref<Thread>),
    /// It waits for a call or packet, parked where others can lend it their poll.
    Parked,
    /// It is parked, and the thread below, which it has just answered, goes on.
    ParkedBack,
    /// It has answered the thread below, and both go on.
    Back,
    /// Others of the same urgency go first.
    Yield,
    /// The thread is over.
    End,
    /// It shall end, or the one whose poll it is.
    Killed,
    /// It did something else than a system call.
    Trap(Exit),
}
