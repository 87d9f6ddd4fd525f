//! Makes a stack overflow a crash that libFuzzer can report with the input that caused it. Its handler runs
//! on the stack that just ran out, unless there is another one for signals: a standard library's `main` makes one, but
//! here `main` is libFuzzer's.
#![allow(unsafe_code)]

/// libFuzzer's handler prints a backtrace and writes a file.
const SIGNAL_STACK_BYTES: usize = 1 << 20;

/// To be called before libFuzzer sets its handler: it then keeps the flag.
pub(crate) fn report_overflows() {
    let stack = Box::leak(vec![0_u8; SIGNAL_STACK_BYTES].into_boxed_slice());
    // SAFETY: the stack lives for ever and nobody else uses it; the structures are as C wants them, zeroes
    // being an empty set of signals and the default action.
    let failed = unsafe {
        let stack =
            libc::stack_t { ss_sp: stack.as_mut_ptr().cast(), ss_flags: 0, ss_size: stack.len() };
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = libc::SIG_DFL;
        action.sa_flags = libc::SA_ONSTACK;
        libc::sigaltstack(&stack, std::ptr::null_mut()) != 0
            || libc::sigaction(libc::SIGSEGV, &action, std::ptr::null_mut()) != 0
    };
    assert!(!failed, "the stack for signals could not be set");
}
