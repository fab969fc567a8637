// SwiftPM has no flags per file: the target is pushed here instead.
#if defined(__x86_64__)
#include "kernel_table.h"

#include <math.h>
#include <string.h>
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)
#define TSR_ISA avx2
#define TSR_VECTOR 8
#define TSR_STRIP 6
#include "bodies.h"
#pragma clang attribute pop
#endif
