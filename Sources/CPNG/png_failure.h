// Where libpng's errors land: a jump buffer and the sentence.
#pragma once
#include <png.h>
#include <setjmp.h>
#include <stdio.h>

#include "CPNG.h"

typedef struct {
    jmp_buf jump;
    char message[TSR_PNG_ERROR_LENGTH];
} tsr_png_failure;

static inline void tsr_png_raise(png_structp png, png_const_charp message) {
    tsr_png_failure *failure = png_get_error_ptr(png);
    snprintf(failure->message, TSR_PNG_ERROR_LENGTH, "%s", message);
    longjmp(failure->jump, 1);
}

static inline void tsr_png_ignore(png_structp png, png_const_charp message) {
    (void)png;
    (void)message;
}

static inline void tsr_png_copy_message(char error[TSR_PNG_ERROR_LENGTH],
                                        const tsr_png_failure *failure) {
    snprintf(error, TSR_PNG_ERROR_LENGTH, "%s", failure->message);
}
