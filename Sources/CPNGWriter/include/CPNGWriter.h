// Streaming PNG output over libpng. All of libpng's longjmp error handling stays inside this
// library: every function returns 0 for success or -1 with a sentence in `error`.
#pragma once
#include <stddef.h>
#include <stdint.h>

#define TSR_PNG_ERROR_LENGTH 256

typedef struct tsr_png_writer tsr_png_writer;

/// One text chunk (tEXt, or iTXt where `text` is not ASCII): a keyword of 1 ... 79 Latin-1
/// characters (PNG specification, 11.3.4.2) and UTF-8 text, both terminated by zero.
typedef struct {
    const char *keyword;
    const char *text;
} tsr_png_text;

/// Starts an 8-bit RGB picture of width x height pixels on the open file `descriptor`, which stays
/// the caller's to close. Returns NULL with a sentence in `error` on failure.
tsr_png_writer *tsr_png_begin(int descriptor, uint32_t width, uint32_t height,
                              const tsr_png_text *texts, size_t text_count,
                              char error[TSR_PNG_ERROR_LENGTH]);

/// Appends `count` rows of 3 * width bytes each, top to bottom.
int tsr_png_rows(tsr_png_writer *writer, const uint8_t *rows, uint32_t count,
                 char error[TSR_PNG_ERROR_LENGTH]);

/// Writes the end of the picture and everything buffered.
int tsr_png_finish(tsr_png_writer *writer, char error[TSR_PNG_ERROR_LENGTH]);

/// Frees the writer, finished or not; NULL is fine.
void tsr_png_free(tsr_png_writer *writer);

/// The libpng that is loaded, such as "1.6.39".
const char *tsr_png_library_version(void);

typedef struct {
    uint32_t width;
    uint32_t height;
    uint8_t *pixels;     // 3 * width * height bytes, RGB, freed by tsr_png_free_picture
    char **keywords;     // text_count of them
    char **texts;
    size_t text_count;
} tsr_png_picture;

/// Reads a whole 8-bit picture with its text chunks from the file at `path`.
int tsr_png_read(const char *path, tsr_png_picture *picture, char error[TSR_PNG_ERROR_LENGTH]);

void tsr_png_free_picture(tsr_png_picture *picture);
