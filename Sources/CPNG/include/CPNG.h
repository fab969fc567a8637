// PNG over libpng: output row by row into memory, from where the caller takes the bytes, and input
// row by row from a file. All of libpng's longjmp error handling stays inside this library:
// functions that can fail return 0 for success or -1 with a sentence in `error`.
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

/// Starts an 8-bit RGB picture of width x height pixels. Returns NULL with a sentence in `error`
/// on failure.
tsr_png_writer *tsr_png_begin(uint32_t width, uint32_t height, const tsr_png_text *texts,
                              size_t text_count, char error[TSR_PNG_ERROR_LENGTH]);

/// Appends the row `index` of `rows`, which have 3 * width bytes each; top to bottom.
int tsr_png_row(tsr_png_writer *writer, const uint8_t *rows, size_t index,
                char error[TSR_PNG_ERROR_LENGTH]);

/// Appends the end of the picture.
int tsr_png_finish(tsr_png_writer *writer, char error[TSR_PNG_ERROR_LENGTH]);

/// Bytes of the file that are there and not yet taken.
size_t tsr_png_length(const tsr_png_writer *writer);

/// Takes them: valid until something is appended.
const uint8_t *tsr_png_take(tsr_png_writer *writer);

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

typedef struct tsr_png_reader tsr_png_reader;

typedef struct {
    uint32_t pixels_per_side;
    uint64_t interlaced_pixels; // an interlaced picture lies in memory whole
} tsr_png_limits;

/// Begins to read the picture that the descriptor's file holds from its start; the descriptor is
/// the reader's from now on. Returns NULL with a sentence in `error` on failure, the descriptor
/// closed.
tsr_png_reader *tsr_png_open(int descriptor, const tsr_png_limits *limits,
                             char error[TSR_PNG_ERROR_LENGTH]);

uint32_t tsr_png_width(const tsr_png_reader *reader);

uint32_t tsr_png_height(const tsr_png_reader *reader);

/// Reads the next row, top to bottom, into three planes of `width` numbers in 0 ... 1; what is
/// transparent lies over white. The last row comes with a check of the rest of the file. Not to be
/// called after the last row, nor after a failure.
int tsr_png_next_row(tsr_png_reader *reader, float *red, float *green, float *blue,
                     char error[TSR_PNG_ERROR_LENGTH]);

/// Frees the reader and closes its file; NULL is fine.
void tsr_png_close(tsr_png_reader *reader);
