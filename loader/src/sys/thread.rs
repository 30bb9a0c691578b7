//! What the loader keeps per thread: which activations of compiled code are on the stack, how deep it may go,
//! and what the signal handler recorded.
//!
//! # Safety
//!
//! The record is only touched by its thread, and by the signal handler on that thread. It has no
//! destructor and needs no initialisation, so that the handler can use it at any time. An [`Activation`] stays in
//! its place on the stack from `enter` to `leave`, and they nest. Frames are walked between a frame pointer
//! of compiled code and that of the entry trampoline, and only upwards.
#![allow(unsafe_code, reason = "stacks and frame pointers")]

use core::cell::{Cell, RefCell, UnsafeCell};
use core::ffi::c_void;
use core::mem::MaybeUninit;
use core::ptr;
use core::sync::atomic::{AtomicU64, Ordering};

use aotc_abi::trap::TrapKind;
use aotc_abi::vmctx::VmStoreCtx;

use super::frames::{self, FRAMES_MAX};
use super::gate;
use super::mapping::page_bytes;

/// Stack that must be left for the host when wasm calls it, in bytes.
pub(super) const HOST_STACK_BYTES: u64 = 128 << 10;
/// Size of the stack for signal handlers, in bytes.
const SIGNAL_STACK_BYTES: usize = 64 << 10;

struct Thread {
    /// Where `gate` keeps what the thread does, once it has made a call: the address of its innermost activation, or, if it has
    /// none, its `token`.
    state: Cell<*const Cell<u64>>,
    /// An odd number that no other thread has or had.
    token: Cell<u64>,
    /// What [`VmStoreCtx::stack_limit`] is on this thread; 0 until it is known.
    stack_limit: Cell<u64>,
    /// Lowest address of the stack, above its guard.
    stack_low: Cell<u64>,
    /// The trap that the signal handler recorded, or 0.
    trap: Cell<u8>,
    frame_count: Cell<usize>,
    frames: [Cell<u64>; FRAMES_MAX],
    /// Frames, older than those recorded, for which there was no room.
    left_out: Cell<usize>,
}

std::thread_local! {
    static THREAD: Thread = const {
        Thread {
            state: Cell::new(ptr::null()),
            token: Cell::new(0),
            stack_limit: Cell::new(0),
            stack_low: Cell::new(0),
            trap: Cell::new(0),
            frame_count: Cell::new(0),
            frames: [const { Cell::new(0) }; FRAMES_MAX],
            left_out: Cell::new(0),
        }
    };
    static SIGNAL_STACK: RefCell<Option<SignalStack>> = const { RefCell::new(None) };
}

/// A number for this thread, to spread threads with: the least that no other thread has now, so that few threads have small ones.
pub(crate) fn number() -> usize {
    const UNKNOWN: usize = usize::MAX;
    std::thread_local! {
        static NUMBER: Cell<usize> = const { Cell::new(UNKNOWN) };
    }
    NUMBER.with(|number| {
        if number.get() == UNKNOWN {
            number.set(take_number());
        }
        number.get()
    })
}

/// Most threads that have numbers of their own.
const NUMBERS_MAX: usize = 256;

/// The numbers that threads have, a bit for each.
static NUMBERS: [AtomicU64; NUMBERS_MAX / 64] = [const { AtomicU64::new(0) }; NUMBERS_MAX / 64];

/// A number that is a thread's until it ends.
struct Number(usize);

impl Drop for Number {
    fn drop(&mut self) {
        NUMBERS[self.0 / 64].fetch_and(!(1 << (self.0 % 64)), Ordering::Relaxed);
    }
}

/// A number for this thread; 0 if there is none left, or the thread is ending.
#[cold]
fn take_number() -> usize {
    std::thread_local! {
        static TAKEN: Cell<Option<Number>> = const { Cell::new(None) };
    }
    let take = |taken: &Cell<Option<Number>>| {
        for (place, word) in NUMBERS.iter().enumerate() {
            let mut bits = word.load(Ordering::Relaxed);
            while bits != u64::MAX {
                let bit = bits.trailing_ones();
                bits = word.fetch_or(1 << bit, Ordering::Relaxed);
                if bits & 1 << bit == 0 {
                    let number = place * 64 + bit as usize;
                    taken.set(Some(Number(number)));
                    return number;
                }
            }
        }
        0
    };
    TAKEN.try_with(take).unwrap_or(0)
}

/// A number that was never given before, from 1. A thread takes a block of them at once, so that threads do not wait for
/// each other here.
pub(crate) fn unique_number() -> u64 {
    const BLOCK: u64 = 1 << 12;
    static NEXT_BLOCK: AtomicU64 = AtomicU64::new(1);
    std::thread_local! {
        static NEXT: Cell<u64> = const { Cell::new(0) };
    }
    NEXT.with(|next| {
        let mut number = next.get();
        if number % BLOCK == 0 {
            number = NEXT_BLOCK.fetch_add(1, Ordering::Relaxed) * BLOCK;
        }
        next.set(number + 1);
        number
    })
}

/// An entry into compiled code, on the stack of its thread.
pub(crate) struct Activation {
    previous: Cell<*const Activation>,
    vm: *mut VmStoreCtx,
    /// The thread on which it is: another one when its fiber has moved.
    thread: Cell<*const Thread>,
    /// Whether it is inside another activation of the store, on this thread or on one that waits. Then `saved` is set.
    nested: bool,
    /// The store's fields as they were before. Outside, nobody reads what the fields hold but for `entry_fp`, which is 0.
    saved: MaybeUninit<VmStoreCtx>,
}

impl Activation {
    /// An activation of the store at `vm`, not entered yet.
    #[inline]
    pub(crate) fn new(vm: *mut VmStoreCtx) -> Self {
        let (previous, thread) = (Cell::new(ptr::null()), Cell::new(ptr::null()));
        Self { previous, vm, thread, nested: false, saved: MaybeUninit::uninit() }
    }

    /// Makes this the thread's innermost activation.
    ///
    /// # Safety
    /// It is not moved until [`Activation::leave`], which is called before anything else is left.
    #[inline]
    pub(crate) unsafe fn enter(&mut self) {
        THREAD.with(|thread| {
            self.thread.set(thread);
            let mut limit = thread.stack_limit.get();
            if limit == 0 {
                limit = prepare(thread);
            }
            self.previous.set(thread.innermost());
            thread.set_innermost(self);
            // SAFETY: the store is borrowed by the caller.
            unsafe {
                if (*self.vm).entry_fp != 0 {
                    self.save();
                }
                (*self.vm).stack_limit = limit;
            }
        });
    }

    /// Makes the activation before this one the innermost again.
    #[inline]
    pub(crate) fn leave(&mut self) {
        // SAFETY: the record of this thread, which is where the activation is now. Asking for it anew would be wrong: what
        // the compiler knows of the thread may be from before the fiber moved.
        let thread = unsafe { &*self.thread.get() };
        thread.set_innermost(self.previous.get());
        if self.nested {
            self.restore();
        } else {
            // SAFETY: the store is borrowed by the caller of [`Self::enter`].
            unsafe { (*self.vm).entry_fp = 0 };
        }
    }

    /// Saves the store's fields.
    #[inline(never)]
    fn save(&mut self) {
        self.nested = true;
        // SAFETY: the store is borrowed by the caller of [`Self::enter`].
        self.saved.write(unsafe { self.vm.read() });
    }

    /// Puts back what [`Self::save`] saved.
    #[inline(never)]
    fn restore(&mut self) {
        // SAFETY: the store is borrowed by the caller of [`Self::leave`], and what it held was saved.
        let (vm, saved) = unsafe { (&mut *self.vm, self.saved.assume_init_ref()) };
        vm.stack_limit = saved.stack_limit;
        vm.entry_sp = saved.entry_sp;
        vm.entry_fp = saved.entry_fp;
        vm.entry_handler = saved.entry_handler;
        vm.exit_fp = saved.exit_fp;
    }
}

/// A store's activation for calls that are the only ones on their thread: it need not be made for each of them, and nothing has to
/// be saved.
pub(crate) struct Outermost(UnsafeCell<Activation>);

// SAFETY: it is only used by the thread that has the store's mutable borrow, and while that has calls of it.
unsafe impl Send for Outermost {}
// SAFETY: as above; a shared borrow of the store does nothing with it.
unsafe impl Sync for Outermost {}

impl Default for Outermost {
    fn default() -> Self {
        Self(UnsafeCell::new(Activation::new(ptr::null_mut())))
    }
}

impl Outermost {
    /// Prepares calls of the store at `vm` on this thread, and gives the thread's number for [`Self::enter`] and
    /// [`gate`]. `None` if the store or the thread has an activation.
    ///
    /// # Safety
    /// The caller has the store to which this and `vm` belong.
    pub(crate) unsafe fn settle(&self, vm: *mut VmStoreCtx) -> Option<u64> {
        THREAD.with(|thread| {
            if thread.stack_limit.get() == 0 {
                prepare(thread);
            }
            // SAFETY: the caller's promise. Nobody looks at the activation, since it is no thread's.
            unsafe {
                if !thread.innermost().is_null() || (*vm).entry_fp != 0 {
                    return None;
                }
                (*self.0.get()).vm = vm;
                (*vm).stack_limit = thread.stack_limit.get();
            }
            Some(thread.token.get())
        })
    }

    /// Makes this the thread's only activation. `None` if there is another one, or this is not the thread that has the number
    /// `home`.
    ///
    /// # Safety
    /// The caller has the store to which this belongs. If `home` is not 0, [`Self::settle`] gave it, and since then the store had
    /// calls of these only. It stays where it is until [`OutermostEntered::leave`], and the caller calls that on this thread, before
    /// anything else is left.
    #[inline]
    pub(crate) unsafe fn enter(&self, home: u64) -> Option<OutermostEntered> {
        THREAD.with(|thread| {
            // SAFETY: null, or this thread's.
            let state = unsafe { thread.state.get().as_ref() }?;
            if state.get() != home {
                return None;
            }
            state.set(self.0.get() as u64);
            Some(OutermostEntered { state, home })
        })
    }
}

/// The thread whose only activation is an [`Outermost`].
pub(crate) struct OutermostEntered {
    state: *const Cell<u64>,
    home: u64,
}

impl OutermostEntered {
    /// The thread whose only activation `gate` made, of a store in which something was raised.
    pub(crate) fn by_gate() -> Self {
        THREAD.with(|thread| Self { state: thread.state.get(), home: thread.token.get() })
    }

    /// Neither the thread nor the store at `vm` has an activation any more.
    ///
    /// # Safety
    /// `vm` is that of the store.
    #[inline]
    pub(crate) unsafe fn leave(self, vm: *mut VmStoreCtx) {
        // SAFETY: of this thread, since calls on a fiber are never outermost ones; and the caller's promise.
        unsafe {
            (*self.state).set(self.home);
            (*vm).entry_fp = 0;
        }
    }
}

/// The part of a thread's state that belongs to a fiber, while the fiber does not run.
#[cfg(feature = "async")]
pub(crate) struct FiberState {
    /// The fiber's youngest activation; null if it has none.
    youngest: *const Activation,
    /// Its oldest.
    oldest: *const Activation,
    stack_low: u64,
}

/// The part of a thread's state that a running fiber's has taken the place of.
#[cfg(feature = "async")]
pub(crate) struct BelowFiber {
    activation: *const Activation,
    stack_low: u64,
    stack_limit: u64,
    vm_stack_limit: u64,
}

#[cfg(feature = "async")]
impl FiberState {
    /// A fiber that has not begun, on a stack whose lowest address is `stack_low`.
    pub(crate) fn new(stack_low: u64) -> Self {
        Self { youngest: ptr::null(), oldest: ptr::null(), stack_low }
    }
}

/// Makes the fiber's activations the thread's innermost, and its stack the thread's.
///
/// # Safety
/// The caller switches to the fiber next, and calls [`leave_fiber`] on this thread when it is back. `vm` is that of the
/// store that the fiber runs in.
#[cfg(feature = "async")]
#[inline(never)]
pub(crate) unsafe fn enter_fiber(fiber: &mut FiberState, vm: *mut VmStoreCtx) -> BelowFiber {
    THREAD.with(|thread| {
        if thread.stack_limit.get() == 0 {
            prepare(thread);
        }
        let limit = fiber.stack_low + HOST_STACK_BYTES;
        let below = BelowFiber {
            activation: thread.innermost(),
            stack_low: thread.stack_low.replace(fiber.stack_low),
            stack_limit: thread.stack_limit.replace(limit),
            // SAFETY: the store is borrowed by the caller.
            vm_stack_limit: unsafe { core::mem::replace(&mut (*vm).stack_limit, limit) },
        };
        if !fiber.youngest.is_null() {
            // SAFETY: activations on the fiber's stack, each linked to the one before.
            unsafe {
                (*fiber.oldest).previous.set(below.activation);
                let mut activation = fiber.youngest;
                while activation != below.activation {
                    (*activation).thread.set(thread);
                    activation = (*activation).previous.get();
                }
            }
            thread.set_innermost(fiber.youngest);
        }
        below
    })
}

/// The opposite of [`enter_fiber`].
///
/// # Safety
/// As there.
#[cfg(feature = "async")]
#[inline(never)]
pub(crate) unsafe fn leave_fiber(fiber: &mut FiberState, below: BelowFiber, vm: *mut VmStoreCtx) {
    THREAD.with(|thread| {
        let youngest = thread.innermost();
        thread.set_innermost(below.activation);
        (fiber.youngest, fiber.oldest) = (ptr::null(), ptr::null());
        let mut activation = youngest;
        while activation != below.activation {
            (fiber.youngest, fiber.oldest) = (youngest, activation);
            // SAFETY: an activation on the fiber's stack.
            activation = unsafe { (*activation).previous.get() };
        }
        thread.stack_low.set(below.stack_low);
        thread.stack_limit.set(below.stack_limit);
        // SAFETY: the store is borrowed by the caller.
        unsafe { (*vm).stack_limit = below.vm_stack_limit };
    });
}

/// The store of the thread's innermost activation.
pub(super) fn current_store() -> Option<*mut VmStoreCtx> {
    THREAD.with(|thread| {
        let activation = thread.innermost();
        // SAFETY: the innermost activation is on the stack, or in a store that is being called.
        (!activation.is_null()).then(|| unsafe { (*activation).vm })
    })
}

/// Whether `address` is where a stack ends that has `sp` as its pointer.
pub(super) fn is_stack_end(address: u64, sp: u64) -> bool {
    const NEAR_BYTES: u64 = 64 << 10;
    THREAD.with(|thread| {
        let low = thread.stack_low.get();
        let in_guard = address >= low.saturating_sub(1 << 20) && address < low + page_bytes();
        in_guard || address.abs_diff(sp) < NEAR_BYTES
    })
}

/// Records a trap for [`take_trap`].
pub(super) fn record_trap(kind: TrapKind) {
    THREAD.with(|thread| thread.trap.set(kind as u8));
}

/// The trap that the signal handler recorded.
pub(crate) fn take_trap() -> Option<TrapKind> {
    TrapKind::from_u8(THREAD.with(|thread| thread.trap.take()))
}

/// Records the frames of the innermost activation's store, from an interrupted one on. If that has no frame of its
/// own yet, `fp` is its caller's, and `return_address` leads there.
///
/// # Safety
/// `pc` and `fp` are those of compiled code that runs in the innermost activation.
pub(super) unsafe fn record_frames_at(pc: u64, fp: u64, return_address: Option<u64>) {
    THREAD.with(|thread| {
        thread.clear_frames();
        let activation = thread.innermost();
        if return_address.is_some() {
            thread.record_frame(pc);
        }
        // SAFETY: the caller's promise.
        unsafe { record_activations(thread, activation, return_address.unwrap_or(pc), fp) };
    });
}

/// Records the frames of the store at `vm`, from its last exit on, and gives them to `f`, as [`with_frames`] does. None if it
/// has no activation.
pub(crate) fn with_frames_at_exit<R>(vm: *mut VmStoreCtx, f: impl FnOnce(&[u64], usize) -> R) -> R {
    record_frames_at_exit(vm);
    with_frames(f)
}

fn record_frames_at_exit(vm: *mut VmStoreCtx) {
    THREAD.with(|thread| {
        thread.clear_frames();
        let activation = of_store(thread.innermost(), vm);
        if activation.is_null() {
            return;
        }
        // SAFETY: the store is borrowed by the caller; an activation that is on the stack has been
        // left through an exit trampoline, since the host is running.
        unsafe {
            let exit_fp = (*vm).exit_fp;
            if exit_fp != 0 {
                let (pc, fp) = frames::caller(exit_fp);
                record_activations(thread, activation, pc, fp);
            }
        }
    });
}

/// Calls `f` with the recorded frames' program counters, innermost first, and the number of older frames that were
/// left out.
pub(crate) fn with_frames<R>(f: impl FnOnce(&[u64], usize) -> R) -> R {
    let (frames, count, left_out) = THREAD.with(|thread| {
        let frames: [u64; FRAMES_MAX] = core::array::from_fn(|index| thread.frames[index].get());
        (frames, thread.frame_count.get(), thread.left_out.get())
    });
    f(&frames[..count], left_out)
}

impl Thread {
    /// The innermost activation; null if there is none.
    fn innermost(&self) -> *const Activation {
        // SAFETY: null, or this thread's.
        match unsafe { self.state.get().as_ref() }.map_or(0, Cell::get) {
            token if token % 2 != 0 => ptr::null(),
            address => address as *const Activation,
        }
    }

    /// Sets the innermost activation of a thread that is prepared; null if there is none.
    fn set_innermost(&self, activation: *const Activation) {
        let state = if activation.is_null() { self.token.get() } else { activation as u64 };
        // SAFETY: this thread's.
        unsafe { (*self.state.get()).set(state) };
    }

    fn clear_frames(&self) {
        self.frame_count.set(0);
        self.left_out.set(0);
    }

    fn record_frame(&self, pc: u64) {
        let count = self.frame_count.get();
        match self.frames.get(count) {
            Some(frame) => {
                frame.set(pc);
                self.frame_count.set(count + 1);
            }
            None => self.left_out.set(self.left_out.get() + 1),
        }
    }
}

/// Whether compiled code of the store at `vm` is on a stack.
///
/// # Safety
/// The caller has the store.
pub(crate) unsafe fn has_activation(vm: *const VmStoreCtx) -> bool {
    // SAFETY: the caller's promise. Entries set the field, and whoever leaves the outermost activation clears it.
    unsafe { (*vm).entry_fp != 0 }
}

fn of_store(mut activation: *const Activation, vm: *mut VmStoreCtx) -> *const Activation {
    // SAFETY: activations on the stack, linked to older ones.
    while let Some(current) = unsafe { activation.as_ref() } {
        if current.vm == vm {
            break;
        }
        activation = current.previous.get();
    }
    activation
}

/// # Safety
/// `activation` is on the stack; `pc` and `fp` are of the youngest frame of compiled code in it.
unsafe fn record_activations(thread: &Thread, activation: *const Activation, pc: u64, fp: u64) {
    // SAFETY: activations on the stack. What each saved are the store's fields for the one before it.
    unsafe {
        let mut activation = activation;
        let mut entry_fp = (*(*activation).vm).entry_fp;
        let (mut pc, mut fp) = (pc, fp);
        loop {
            frames::walk(pc, fp, entry_fp, |pc| thread.record_frame(pc));
            let Activation { previous, vm, thread: _, nested, saved } = &*activation;
            activation = of_store(previous.get(), *vm);
            if activation.is_null() || !nested {
                return;
            }
            let saved = saved.assume_init_ref();
            if saved.exit_fp == 0 {
                return;
            }
            entry_fp = saved.entry_fp;
            (pc, fp) = frames::caller(saved.exit_fp);
        }
    }
}

/// Finds out the stack's limits and sees to a stack for signal handlers. Gives the limit.
#[cold]
fn prepare(thread: &Thread) -> u64 {
    let low = stack_low();
    thread.stack_low.set(low);
    thread.stack_limit.set(low + HOST_STACK_BYTES);
    thread.state.set(gate::state());
    // Not 1, with which `gate` begins on a thread.
    thread.token.set(2 * unique_number() + 1);
    thread.set_innermost(ptr::null());
    // Where a thread is ending there is none any more; then faults are handled on the stack that there is.
    let _ = SIGNAL_STACK.try_with(|stack| {
        let mut stack = stack.borrow_mut();
        if stack.is_none() {
            *stack = SignalStack::install();
        }
    });
    thread.stack_limit.get()
}

/// Lowest address of this thread's stack, above its guard.
fn stack_low() -> u64 {
    if let Some(low) = main_stack_low() {
        return low;
    }
    let mut attributes = MaybeUninit::<libc::pthread_attr_t>::uninit();
    // SAFETY: plain calls; the attributes are initialised if the first succeeds, and destroyed.
    unsafe {
        if libc::pthread_getattr_np(libc::pthread_self(), attributes.as_mut_ptr()) == 0 {
            let (mut address, mut bytes, mut guard) = (ptr::null_mut(), 0, 0);
            libc::pthread_attr_getstack(attributes.as_ptr(), &mut address, &mut bytes);
            libc::pthread_attr_getguardsize(attributes.as_ptr(), &mut guard);
            libc::pthread_attr_destroy(attributes.as_mut_ptr());
            return address as u64 + guard as u64;
        }
    }
    // Without /proc, where the main thread's stack is looked up: from here, as much as may be used.
    let here = &raw const attributes as u64;
    let limit = rustix::process::getrlimit(rustix::process::Resource::Stack);
    const ASSUMED_BYTES: u64 = 8 << 20;
    here - limit.current.unwrap_or(ASSUMED_BYTES).min(ASSUMED_BYTES) + HOST_STACK_BYTES
}

/// Lowest address to which the stack grows, if this is the one that the process began with. The C library would read the list
/// of the process's mappings for it, which takes longer than all the rest of a first call.
fn main_stack_low() -> Option<u64> {
    // As far as the kernel keeps room for a stack whatever its limit was at first: no other thread's is there.
    const LIMIT_BYTES_MAX: u64 = 128 << 20;
    let limit = rustix::process::getrlimit(rustix::process::Resource::Stack).current?;
    // The name of the program is the last thing on the stack, but for a few zeros.
    // SAFETY: a plain call; 0 if there is no name.
    let name = unsafe { libc::getauxval(libc::AT_EXECFN) } as *const core::ffi::c_char;
    if name.is_null() || limit > LIMIT_BYTES_MAX {
        return None;
    }
    // SAFETY: the kernel put a string there.
    let bytes = unsafe { core::ffi::CStr::from_ptr(name) }.count_bytes() as u64;
    let top = (name as u64 + bytes).next_multiple_of(page_bytes());
    let here = &raw const top as u64;
    // What was started in another way, as by an emulator, may have its strings elsewhere.
    let is_here = here < top && top - here < limit;
    is_here.then(|| top - limit)
}

/// This thread's stack for signal handlers, if it had none that is large enough.
struct SignalStack {
    base: *mut c_void,
}

impl SignalStack {
    fn install() -> Option<Self> {
        // SAFETY: plain calls with valid arguments; the mapping is given to the kernel until drop.
        unsafe {
            let mut current = MaybeUninit::<libc::stack_t>::zeroed().assume_init();
            libc::sigaltstack(ptr::null(), &mut current);
            if current.ss_flags & libc::SS_DISABLE == 0 && current.ss_size >= SIGNAL_STACK_BYTES {
                return None;
            }
            let base = libc::mmap(
                ptr::null_mut(),
                SIGNAL_STACK_BYTES,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            );
            if base == libc::MAP_FAILED {
                return None;
            }
            let stack = libc::stack_t { ss_sp: base, ss_flags: 0, ss_size: SIGNAL_STACK_BYTES };
            libc::sigaltstack(&stack, ptr::null_mut());
            Some(Self { base })
        }
    }
}

impl Drop for SignalStack {
    fn drop(&mut self) {
        // SAFETY: the stack is taken from the kernel, unless someone put another in its place, before it is
        // unmapped; the thread is ending and runs no handler on it.
        unsafe {
            let mut current = MaybeUninit::<libc::stack_t>::zeroed().assume_init();
            libc::sigaltstack(ptr::null(), &mut current);
            if current.ss_sp == self.base {
                let none = libc::stack_t {
                    ss_sp: ptr::null_mut(),
                    ss_flags: libc::SS_DISABLE,
                    ss_size: 0,
                };
                libc::sigaltstack(&none, ptr::null_mut());
            }
            libc::munmap(self.base, SIGNAL_STACK_BYTES);
        }
        THREAD.with(|thread| {
            thread.stack_limit.set(0);
            // A call in a later destructor is prepared anew.
            // SAFETY: this thread's, which was prepared.
            unsafe { (*thread.state.get()).set(gate::UNPREPARED) };
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stack_end_is_below_here() {
        let here = 0u8;
        let here = &raw const here as u64;
        let low = stack_low();
        assert!(low < here && here - low < 1 << 30, "{low:#x} {here:#x}");
    }

    #[test]
    fn the_first_threads_stack_is_elsewhere() {
        assert_eq!(main_stack_low(), None);
    }

    #[test]
    fn numbers_are_used_again() {
        // Other tests have threads too, so what is free may be taken by them.
        let mine = number();
        let others: std::collections::BTreeSet<_> = (0..2000)
            .map(|_| {
                let (first, second) = std::thread::spawn(|| (number(), number())).join().unwrap();
                assert!(first == second && first != mine);
                first
            })
            .collect();
        assert!(others.len() < NUMBERS_MAX, "{others:?}");
        assert_eq!(number(), mine);
    }

    #[test]
    fn activations_nest() {
        let mut vm = VmStoreCtx { exit_fp: 5, ..VmStoreCtx::default() };
        let vm = &raw mut vm;
        let mut outer = Activation::new(vm);
        // SAFETY: entered and left in this function, where nothing is moved; only integers are read.
        unsafe {
            outer.enter();
            (*vm).exit_fp = 6;
            (*vm).entry_fp = 8;
            let mut inner = Activation::new(vm);
            inner.enter();
            assert_eq!(current_store(), Some(vm));
            assert!((*vm).stack_limit > 0);
            (*vm).exit_fp = 7;
            inner.leave();
            assert_eq!((*vm).exit_fp, 6);
            assert!(has_activation(vm));
            outer.leave();
            assert!(!has_activation(vm));
        }
        assert_eq!(current_store(), None);
    }
}
