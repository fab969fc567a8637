// Counts heap allocations, for tests that say there are none. Linked into a test program, it takes
// the place of the C library's allocation functions and passes every call on.
#pragma once
#include <stdbool.h>
#include <stdint.h>

/// Whether allocations are counted: not under sanitizers, which bring functions of their own, nor
/// with other C libraries than glibc.
bool allocation_counter_works(void);

/// Allocations and reallocations by the calling thread so far.
uint64_t allocation_counter_value(void);
