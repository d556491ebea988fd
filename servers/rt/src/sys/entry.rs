//! [`entry!`](crate::entry): the first instruction of a program and the symbols that compiled code expects.

/// Makes this crate a program: its first instruction, global allocator, panic handler, and the memory functions that compiled
/// code calls by name.
///
/// `entry!(main)` with `fn main(env: rt::Env) -> i32`, the exit code; or `entry!(async main)` with
/// `async fn main(env: rt::Env) -> i32`, which runs on the process's own executor. The crate is `#![no_std] #![no_main]`, and its build script
/// calls `rt_link::program()`.
#[macro_export]
macro_rules! entry {
    (async $main:path) => {
        $crate::entry!(run_async);

        fn run_async(env: $crate::sys::Env) -> i32 {
            $crate::sys::exec::run(env, $main)
        }
    };
    ($main:path) => {
        $crate::program_symbols!();

        /// The first instruction.
        ///
        /// # Safety
        /// Only the kernel comes here, with the start block's address.
        #[unsafe(no_mangle)]
        unsafe extern "sysv64" fn _start(block: *const u8) -> ! {
            // SAFETY: this is the first thread's first instruction, and the kernel passed the address.
            let env = unsafe { $crate::sys::env::begin(block) };
            let main: fn($crate::sys::Env) -> i32 = $main;
            $crate::sys::gate::exit(main(env))
        }
    };
}

/// What [`entry!`](crate::entry) puts into every program beside its first instruction.
#[doc(hidden)]
#[macro_export]
macro_rules! program_symbols {
    () => {
        #[global_allocator]
        static HEAP: $crate::sys::heap::Heap = $crate::sys::heap::Heap::new();

        #[panic_handler]
        fn panic(info: &::core::panic::PanicInfo<'_>) -> ! {
            $crate::sys::log::panicked(info)
        }

        mod compiled_code_expects {
            //! Naked assembly, so that the compiler cannot turn a loop in these functions into a call of themselves.

            use ::core::arch::naked_asm;

            /// C `memcpy`, quadwords at a time: as fast as bytes on processors with fast string moves, faster on others.
            ///
            /// # Safety
            /// As in C.
            #[unsafe(no_mangle)]
            #[unsafe(naked)]
            unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, len: usize) -> *mut u8 {
                naked_asm!(
                    "mov rax, rdi",
                    "mov rcx, rdx",
                    "shr rcx, 3",
                    "rep movsq",
                    "mov ecx, edx",
                    "and ecx, 7",
                    "rep movsb",
                    "ret",
                )
            }

            /// C `memmove`.
            ///
            /// # Safety
            /// As in C.
            #[unsafe(no_mangle)]
            #[unsafe(naked)]
            unsafe extern "C" fn memmove(to: *mut u8, from: *const u8, len: usize) -> *mut u8 {
                naked_asm!(
                    // Forwards unless `to` lies inside (from, from + len).
                    "mov r8, rdi",
                    "sub r8, rsi",
                    "cmp r8, rdx",
                    "jae {forwards}",
                    "mov rax, rdi",
                    "lea rdi, [rdi + rdx - 1]",
                    "lea rsi, [rsi + rdx - 1]",
                    "mov rcx, rdx",
                    "and ecx, 7",
                    "std",
                    "rep movsb",
                    "sub rdi, 7",
                    "sub rsi, 7",
                    "mov rcx, rdx",
                    "shr rcx, 3",
                    "rep movsq",
                    "cld",
                    "ret",
                    forwards = sym memcpy,
                )
            }

            /// C `memset`.
            ///
            /// # Safety
            /// As in C.
            #[unsafe(no_mangle)]
            #[unsafe(naked)]
            unsafe extern "C" fn memset(to: *mut u8, byte: i32, len: usize) -> *mut u8 {
                naked_asm!(
                    "mov r8, rdi",
                    "movzx eax, sil",
                    "mov r9, 0x0101010101010101",
                    "imul rax, r9",
                    "mov rcx, rdx",
                    "shr rcx, 3",
                    "rep stosq",
                    "mov ecx, edx",
                    "and ecx, 7",
                    "rep stosb",
                    "mov rax, r8",
                    "ret",
                )
            }

            /// C `memcmp`.
            ///
            /// # Safety
            /// As in C.
            #[unsafe(no_mangle)]
            #[unsafe(naked)]
            unsafe extern "C" fn memcmp(a: *const u8, b: *const u8, len: usize) -> i32 {
                naked_asm!(
                    "xor ecx, ecx",
                    "2:",
                    "lea r8, [rcx + 8]",
                    "cmp r8, rdx",
                    "ja 3f",
                    "mov rax, [rdi + rcx]",
                    "cmp rax, [rsi + rcx]",
                    "jne 3f",
                    "mov rcx, r8",
                    "jmp 2b",
                    "3:",
                    "cmp rcx, rdx",
                    "je 4f",
                    "movzx eax, byte ptr [rdi + rcx]",
                    "movzx r8d, byte ptr [rsi + rcx]",
                    "inc rcx",
                    "sub eax, r8d",
                    "je 3b",
                    "ret",
                    "4:",
                    "xor eax, eax",
                    "ret",
                )
            }

            /// BSD `bcmp`.
            ///
            /// # Safety
            /// As in C.
            #[unsafe(no_mangle)]
            #[unsafe(naked)]
            unsafe extern "C" fn bcmp(a: *const u8, b: *const u8, len: usize) -> i32 {
                naked_asm!("jmp {memcmp}", memcmp = sym memcmp)
            }

            /// C `strlen`.
            ///
            /// # Safety
            /// As in C.
            #[unsafe(no_mangle)]
            #[unsafe(naked)]
            unsafe extern "C" fn strlen(text: *const u8) -> usize {
                naked_asm!(
                    "xor eax, eax",
                    "2:",
                    "cmp byte ptr [rdi + rax], 0",
                    "je 3f",
                    "inc rax",
                    "jmp 2b",
                    "3:",
                    "ret",
                )
            }

            /// Named by the prebuilt core's unwind tables; never called.
            #[unsafe(no_mangle)]
            extern "C" fn rust_eh_personality() {}

            /// As above: a panic ends the process.
            #[unsafe(no_mangle)]
            extern "C" fn _Unwind_Resume() -> ! {
                $crate::sys::gate::exit($crate::sys::log::PANICKED)
            }
        }
    };
}
