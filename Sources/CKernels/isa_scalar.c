// The fallback: whatever every processor of this architecture has.
#define TSR_ISA scalar
#define TSR_VECTOR 4
#define TSR_STRIP 4
#include "bodies.h"
