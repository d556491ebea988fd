//! The system calls: one table for numbers, names, arguments and documentation.

/// A row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its number.
    pub call: Call,
    /// Its name.
    pub name: &'static str,
    /// Arguments, in register order.
    pub arguments: &'static str,
    /// What comes back in `rax`, and after a comma in `rdx`.
    pub results: &'static str,
    /// What it does.
    pub text: &'static str,
}

macro_rules! calls {
    ($($number:literal $name:ident $text_name:literal ($arguments:literal) -> $results:literal: $doc:literal;)+) => {
        /// The number of a system call, in `rax`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u64)]
        pub enum Call {
            $(
                #[doc = concat!("`", $text_name, "(", $arguments, ") -> ", $results, "`: ", $doc)]
                $name = $number,
            )+
        }

        impl Call {
            /// The call of this number.
            #[must_use]
            #[inline]
            pub const fn from_raw(raw: u64) -> Option<Self> {
                match raw {
                    $($number => Some(Self::$name),)+
                    _ => None,
                }
            }
        }

        /// All system calls, in order of their numbers.
        pub const TABLE: &[Row] = &[$(Row {
            call: Call::$name,
            name: $text_name,
            arguments: $arguments,
            results: $results,
            text: $doc,
        },)+];
    };
}

/// Calls below this number may be answered without leaving the gate: they never wait.
pub const FAST_COUNT: u64 = 8;

calls! {
    0 Nop "nop" ("") -> "0": "does nothing; what the gate itself costs";
    1 ClockGet "clock_get" ("") -> "ns": "the monotonic clock, as the time page gives it";
    2 NotificationSignal "notification_signal" ("notification, bits") -> "0": "sets bits; wakes who waits for them. Right: signal";
    3 Yield "yield" ("") -> "0": "lets others of the same urgency run";

    8 HandleClose "handle_close" ("handle") -> "0": "closes a handle; the object goes with its last one";
    9 HandleDuplicate "handle_duplicate" ("handle, rights") -> "handle": "another handle with these of its rights. Right: duplicate";
    10 HandleInfo "handle_info" ("handle, *HandleInfo") -> "0": "what it is for and what it allows. Right: inspect";
    11 HandleGive "handle_give" ("process, handle, rights") -> "handle there": "moves a handle into another process, with these of its rights. Rights: manage on the process, transfer on the handle";
    12 LeaseCreate "lease_create" ("handle, rights") -> "leased handle, lease": "a handle that can be taken back, with whatever was made or sent on from it. Right: duplicate";
    13 LeaseRevoke "lease_revoke" ("lease") -> "0": "takes it back at once: waiting calls through it end, its mappings go. Right: manage";
    14 Wait "wait" ("handle, signals, deadline_ns") -> "signals": "waits until one of the signals is set. Right: wait";

    16 JobCreate "job_create" ("job, *JobLimits") -> "job": "a job under another. Right: create";
    17 JobInfo "job_info" ("job, *JobInfo") -> "0": "limits and use. Right: inspect";
    18 JobSetLimits "job_set_limits" ("job, *JobLimits") -> "0": "other limits; what is over them stays but cannot grow. Right: manage";
    19 Kill "kill" ("process, thread or job, exit code") -> "0": "ends it, with all below it. Right: kill";

    20 ProcessCreate "process_create" ("job, *name, name_len") -> "process": "an empty process. Right: create";
    21 ProcessInfo "process_info" ("process, *ProcessInfo") -> "0": "how it is. Right: inspect";
    22 ProcessExit "process_exit" ("exit code") -> "": "ends the calling process";
    23 ProcessSetExceptions "process_set_exceptions" ("process, channel") -> "0": "where exceptions of its threads go; 0 for nowhere. Each is a message of an ExitReport and a handle of the thread, which waits until it is told to go on; the process ends when the other end of the channel is closed. Rights: manage, write";
    24 ProcessFork "process_fork" ("process, job, *name, name_len") -> "process": "an empty process with a copy-on-write copy of the memory. Rights: manage, create";
    25 JobProcess "job_process" ("job, process id") -> "process": "a process under the job or below it, with those of the job handle's rights that a process has. Right: inspect";
    26 ResidentStart "resident_start" ("process, *ResidentArgs") -> "thread": "runs a server of the kernel's image, in ring 0, as that empty process. Rights: manage on the process, manage on system";

    28 ThreadCreate "thread_create" ("process, *ThreadArgs") -> "thread": "a thread that runs at once, or is driven. Right: manage";
    29 ThreadExit "thread_exit" ("") -> "": "ends the calling thread";
    31 ThreadRun "thread_run" ("thread, *ExitReport, deadline_ns, flags") -> "reason, error of a page that could not be brought": "runs a driven thread until it stops. Right: drive";
    32 ThreadRegisters "thread_registers" ("thread, *Registers, 0 read 1 write") -> "0": "registers of a driven thread that stands still, or of one that waits after an exception. Right: drive";
    33 ThreadKick "thread_kick" ("thread") -> "0": "makes a driven thread stop, or its next run come back at once. Right: drive";
    34 ThreadExtended "thread_extended" ("thread, *bytes, len, 0 read 1 write") -> "len": "XSAVE state of such a thread, in the standard format; too small a buffer says how much in rdx. Right: drive";
    35 ThreadDeadline "thread_deadline" ("*u64") -> "0": "where the calling thread says from now on by which tick (of the time stamp counter) it has something to do: in a reservation of its own, others with earlier deadlines precede it until then, by one period at most. It is read when the kernel decides who runs, after an interrupt or a wait; 0, or what cannot be read, says nothing. Address 0: no more. BadState without a reservation";
    36 ThreadContinue "thread_continue" ("thread") -> "0": "lets a thread go on that waits after an exception. Right: drive";

    40 VmoCreate "vmo_create" ("bytes") -> "vmo": "zeroes, none committed. Charged to the caller's job as pages are touched";
    41 VmoInfo "vmo_info" ("vmo, *VmoInfo") -> "0": "sizes. Right: inspect";
    42 VmoRead "vmo_read" ("vmo, offset, *bytes, len") -> "len": "copies out. Right: read";
    43 VmoWrite "vmo_write" ("vmo, offset, *bytes, len") -> "len": "copies in. Right: write";
    44 VmoClone "vmo_clone" ("vmo, offset, bytes") -> "vmo": "a copy-on-write copy of a range. Right: read";
    45 VmoOp "vmo_op" ("vmo, operation, offset, len") -> "0": "commits or gives back pages. Right: write";
    46 VmoResize "vmo_resize" ("vmo, bytes") -> "0": "another size; pages beyond it go, from mappings too. Right: manage";
    47 PagerCreate "pager_create" ("") -> "pager": "brings pages of vmos";
    48 PagerVmo "pager_vmo" ("pager, bytes") -> "vmo": "a vmo whose pages the pager brings. Right: manage";
    49 PagerNext "pager_next" ("pager") -> "vmo id, page": "the next page wanted. Right: manage";
    50 PagerSupply "pager_supply" ("vmo, offset, from vmo, from offset, len") -> "0": "brings pages, moved out of another vmo. Rights: manage on the vmo; read and write on the other";

    52 Map "map" ("process, *MapArgs") -> "address": "maps a range of a vmo; for a resident server neither to be executed nor of a vmo whose pages a pager brings (unsupported). Rights: manage on the process; map, read and what the flags say on the vmo";
    53 Unmap "unmap" ("process, address, len") -> "0": "removes what is mapped there. Right: manage";
    54 Protect "protect" ("process, address, len, flags") -> "0": "another access, within the vmo handle's rights when it was mapped. Right: manage";
    55 MemoryRead "memory_read" ("process, address, *bytes, len") -> "len": "copies from another process's memory. Right: read";
    56 MemoryWrite "memory_write" ("process, address, *bytes, len") -> "len": "copies into it. Right: write";
    57 MemoryLookup "memory_lookup" ("process, address") -> "vmo id, offset": "what lies there. Right: read";

    60 ChannelCreate "channel_create" ("") -> "end, end": "two ends";
    61 ChannelWrite "channel_write" ("channel, *BufferArgs") -> "0": "queues a message with handles. Right: write";
    62 ChannelRead "channel_read" ("channel, *BufferArgs") -> "lengths": "takes the next message; too small a buffer leaves it and says how much in rdx. Right: read";

    64 EndpointCreate "endpoint_create" ("") -> "endpoint": "where calls arrive";
    65 EndpointMint "endpoint_mint" ("endpoint, badge, rights") -> "endpoint": "a handle whose calls arrive with this badge (32 bits). Right: receive";
    66 Call "call" ("endpoint, deadline_ns, words") -> "0 and words": "calls and waits for the answer, lending the caller's deadline. Right: call";
    67 CallLong "call_long" ("endpoint, deadline_ns, *LongArgs") -> "lengths": "the same with up to 16 KiB and handles. Right: call";
    68 Receive "receive" ("endpoint, deadline_ns") -> "kind, badge, token, words": "the next call. Right: receive";
    69 Reply "reply" ("token, 0, words") -> "0": "answers a call";
    70 ReplyLong "reply_long" ("token, *LongArgs") -> "0": "answers a call at length";
    71 ReplyReceive "reply_receive" ("token, endpoint, words") -> "as receive": "both at once, without a deadline";
    72 MessageRead "message_read" ("token, *BufferArgs") -> "lengths": "fetches a long call's bytes and handles";
    73 CallStart "call_start" ("endpoint, *StartArgs") -> "id": "calls without waiting: the answer comes as a packet of a port, unless the call is ended before. Right: call";
    74 CallEnd "call_end" ("id") -> "0": "gives up a call that was started; its answer finds nobody";
    75 AnswerRead "answer_read" ("id, *BufferArgs") -> "lengths": "fetches a long answer and ends the call; too small a buffer leaves it and says how much in rdx";

    76 PortCreate "port_create" ("") -> "port": "a queue of packets";
    77 PortBind "port_bind" ("port, handle, signals, key") -> "0": "a packet whenever one of the signals becomes set; once until it was taken. Rights: write on the port, wait (for an endpoint's calls: receive) on the handle";
    78 PortUnbind "port_unbind" ("port, handle") -> "0": "no more packets about it. Right: write";
    79 PortPost "port_post" ("port, key, words") -> "0": "a packet of one's own. Right: signal";
    80 PortWait "port_wait" ("port, deadline_ns") -> "kind, key, signals or token, words": "the next packet. Right: read";
    81 PortReplyWait "port_reply_wait" ("token, port, words") -> "as port_wait": "answers a call and waits for the next packet, without a deadline";

    84 NotificationCreate "notification_create" ("") -> "notification": "64 bits that are set and taken";
    85 NotificationTake "notification_take" ("notification, deadline_ns") -> "0, bits": "waits for bits, takes all. Right: read";
    86 TimerCreate "timer_create" ("") -> "timer": "not set";
    87 TimerSet "timer_set" ("timer, deadline_ns") -> "0": "fires then, and not before; FOREVER: never. Right: signal";

    90 ReservationCreate "reservation_create" ("job, *ReservationArgs") -> "reservation": "processor time, if it fits; rdx says by how many ppm it does not. Right: create";

    92 IoRangeCreate "io_range_create" ("system, first port, count") -> "io-range": "the ports of a device that every PC has, if nobody else drives it. Right: manage";
    93 InterruptCreate "interrupt_create" ("system, isa line, core") -> "interrupt": "a device's interrupt line, if nobody else has it. Right: manage";
    94 DeviceOpen "device_open" ("system, pci address") -> "device": "a PCI function, if nobody else drives it. Right: manage";
    95 DeviceInfo "device_info" ("device, *DeviceInfo") -> "0": "what it is and has. Right: inspect";
    96 InterruptWait "interrupt_wait" ("interrupt, deadline_ns") -> "count, tick of the last": "waits for the interrupt. It shows the signal interrupt meanwhile. Right: read";
    97 InterruptAck "interrupt_ack" ("interrupt") -> "0": "lets it come again. Right: signal";
    98 IoRead "io_read" ("io-range, offset, width 1 2 4") -> "0, value": "reads a port. Right: read";
    99 IoWrite "io_write" ("io-range, offset, width 1 2 4, value") -> "0": "writes a port. Right: write";

    100 DevicePart "device_part" ("device, base address register") -> "vmo or io-range, bytes": "its registers: memory to be mapped, or ports. Right: read";
    101 DeviceInterrupt "device_interrupt" ("device, message, core") -> "interrupt": "one of its message interrupts. Right: manage";
    102 DeviceDma "device_dma" ("device") -> "dma": "lets it read and write memory by itself; without an IOMMU, all of it. Right: manage";
    103 DmaCreate "dma_create" ("dma, bytes") -> "vmo, device address": "zeroed memory that lies in one piece below 4 GiB and stays the device's until it is released or the device is closed. Right: map";
    104 DeviceConfig "device_config" ("device, offset") -> "0, word": "reads four bytes of its configuration space, at a multiple of 4. Right: inspect";
    105 DmaRelease "dma_release" ("dma, device address") -> "0": "the device uses that memory no more, as its driver knows: it goes with its last handle and mapping. Right: map";

    112 RandomGet "random_get" ("*bytes, len") -> "0": "random bytes, at most 4096";
    113 LogWrite "log_write" ("log, level 1 error to 5 trace, *text, len") -> "0": "a record in the kernel's log under the process's name. Right: write";
    114 SystemQuery "system_query" ("system, table, *cursor, *bytes, len") -> "len": "rows after the cursor, which is moved on. Right: read";
    115 SystemControl "system_control" ("system, operation, text, length") -> "": "power off, restart, stop with a text. Right: manage";
    116 LogWait "log_wait" ("system, cursor, deadline_ns") -> "0": "waits until the log has records after the cursor. Right: read";
}
