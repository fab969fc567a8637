// The fallback: whatever every processor of this architecture has.
#define TSR_ISA scalar
#include "bodies.h"
