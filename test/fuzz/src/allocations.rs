//! Counts what this thread allocates. Must never change what the allocator does.
#![expect(unsafe_code, reason = "an allocator can be counted in no other way; it hands every call on as it came")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

struct Counting;

thread_local! {
    static ALLOCATED_BYTES: Cell<usize> = const { Cell::new(0) };
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// Runs `work`; returns what it returned and the bytes it allocated in all, those it freed again too.
pub fn count<T>(work: impl FnOnce() -> T) -> (T, usize) {
    ALLOCATED_BYTES.set(0);
    let outcome = work();
    (outcome, ALLOCATED_BYTES.get())
}

fn add(bytes: usize) {
    // A thread that is ending has no cell any more, and nothing to measure.
    let _ = ALLOCATED_BYTES.try_with(|sum| sum.set(sum.get().saturating_add(bytes)));
}

// SAFETY: each call goes to the system's allocator with the arguments it came with, whose promises are the caller's.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        add(layout.size());
        // SAFETY: as above.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        add(bytes);
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, bytes) }
    }
}
