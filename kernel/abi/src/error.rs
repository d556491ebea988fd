//! What a system call can answer instead of a result.

macro_rules! errors {
    ($($(#[doc = $doc:literal])+ $name:ident = $number:literal, $text:literal;)+) => {
        /// Why a system call did nothing. In `rax` as a negative number.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(i64)]
        pub enum Error {
            $($(#[doc = $doc])+ $name = -$number,)+
        }

        impl Error {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// The error of this number, which is negative.
            #[must_use]
            pub const fn from_raw(raw: i64) -> Option<Self> {
                match raw {
                    $(-$number => Some(Self::$name),)+
                    _ => None,
                }
            }

            /// What it means, in a few words.
            #[must_use]
            pub const fn text(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)+
                }
            }
        }
    };
}

errors! {
    /// The call's number is not in the table.
    Unknown = 1, "there is no such system call";
    /// The handle was never given out, or was closed.
    BadHandle = 2, "no such handle: it was closed, or never given out";
    /// The handle is one of another type of object.
    WrongType = 3, "the handle is for another type of object";
    /// The handle lacks a right that this needs.
    NoRight = 4, "the handle lacks the right for this";
    /// An argument, flag or combination that is not allowed.
    BadArgument = 5, "an argument is not allowed";
    /// An address is not the process's, or what lies there does not allow the access.
    BadAddress = 6, "an address is not accessible";
    /// An offset or length lies outside of the object or buffer.
    OutOfRange = 7, "an offset or length is out of range";
    /// The job may not have more memory, or the machine has none left.
    NoMemory = 8, "out of memory";
    /// The job may not have more of these objects or handles.
    LimitReached = 9, "the job's limit is reached";
    /// The receiver's queue is full; wait until it is writable.
    QueueFull = 10, "the queue is full";
    /// Nothing is there yet, and the caller would not wait.
    WouldWait = 11, "nothing is there yet";
    /// The deadline came first.
    TimedOut = 12, "timed out";
    /// The other side is gone: its last handle was closed, or it died.
    PeerClosed = 13, "the other side is gone";
    /// The handle was revoked, maybe while the call was under way.
    Revoked = 14, "the handle was revoked";
    /// The buffer is too small for what would be put there; nothing was taken.
    BufferTooSmall = 15, "the buffer is too small";
    /// The object is not in a state in which this can be done.
    BadState = 16, "not possible in the object's present state";
    /// The addresses are taken.
    Occupied = 17, "the addresses are taken";
    /// Writable and executable memory is not given.
    WriteExecute = 18, "memory is never writable and executable at once";
    /// The reservation does not fit.
    NotAdmitted = 19, "the reservation does not fit on that core";
    /// The machine or this kernel cannot do that.
    Unsupported = 20, "not supported on this machine";
    /// The process or thread is dying.
    Dying = 21, "the process is being ended";
    /// The pager that was to bring the page does not answer, or said no.
    PagerFailed = 22, "the pager did not bring the page";
}

impl core::fmt::Display for Error {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.text())
    }
}

impl core::error::Error for Error {}

impl Error {
    /// As it stands in `rax`.
    #[must_use]
    pub const fn to_raw(self) -> u64 {
        self as i64 as u64
    }

    /// What `rax` says.
    ///
    /// # Errors
    /// The error in it; a negative number that no error has counts as [`Error::Unknown`].
    #[inline(always)]
    pub const fn check(rax: u64) -> Result<u64, Self> {
        let signed = rax as i64;
        if signed >= 0 {
            return Ok(rax);
        }
        Err(Self::of_result(signed))
    }

    #[cold]
    const fn of_result(raw: i64) -> Self {
        match Self::from_raw(raw) {
            Some(error) => error,
            None => Self::Unknown,
        }
    }
}
