// CRC-32C (Castagnoli), RFC 3720 appendix B.4: reflected polynomial 0x82F63B78, initial value and
// final xor 0xFFFFFFFF. Uses the SSE4.2 instruction where the machine has it.
#pragma once
#include <stddef.h>
#include <stdint.h>

/// Continues `crc` (0 for a fresh start) over `length` bytes at `bytes`.
uint32_t tsr_crc32c(uint32_t crc, const void *bytes, size_t length);
