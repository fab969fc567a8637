#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "CPNG.h"
#include "png_failure.h"

struct tsr_png_reader {
    png_structp png;
    png_infop info;
    FILE *file;
    uint32_t width;
    uint32_t height;
    uint32_t next_row;
    int channels;
    int depth;
    size_t row_bytes;
    /// One row or, of an interlaced picture, all of them.
    uint8_t *pixels;
    bool interlaced;
    tsr_png_failure failure;
};

static void read_bytes(png_structp png, png_bytep bytes, size_t length) {
    tsr_png_reader *reader = png_get_io_ptr(png);
    if (fread(bytes, 1, length, reader->file) != length) {
        png_error(png, feof(reader->file) ? "it ends in the middle" : strerror(errno));
    }
}

static void check_size(tsr_png_reader *reader, const tsr_png_limits *limits) {
    char message[TSR_PNG_ERROR_LENGTH];
    if (reader->width > limits->pixels_per_side || reader->height > limits->pixels_per_side) {
        snprintf(message, sizeof message, "it has %u x %u pixels, the limit is %u on a side",
                 reader->width, reader->height, limits->pixels_per_side);
        png_error(reader->png, message);
    }
    uint64_t pixels = (uint64_t)reader->width * reader->height;
    if (reader->interlaced && pixels > limits->interlaced_pixels) {
        snprintf(message, sizeof message,
                 "it is interlaced and has %u x %u pixels; save it without interlacing",
                 reader->width, reader->height);
        png_error(reader->png, message);
    }
}

/// Whatever the file holds becomes RGB or RGBA of 8 or 16 bits; its gamma is left alone.
static void begin(tsr_png_reader *reader, const tsr_png_limits *limits) {
    png_set_read_fn(reader->png, reader, read_bytes);
    // Checked below, with a better sentence.
    png_set_user_limits(reader->png, PNG_UINT_31_MAX, PNG_UINT_31_MAX);
    png_set_crc_action(reader->png, PNG_CRC_ERROR_QUIT, PNG_CRC_ERROR_QUIT);
    // Only what says how pixels look is read: texts and profiles may be huge.
    png_set_keep_unknown_chunks(reader->png, PNG_HANDLE_CHUNK_NEVER, NULL, -1);
    png_read_info(reader->png, reader->info);
    reader->width = png_get_image_width(reader->png, reader->info);
    reader->height = png_get_image_height(reader->png, reader->info);
    reader->interlaced =
        png_get_interlace_type(reader->png, reader->info) != PNG_INTERLACE_NONE;
    check_size(reader, limits);
    png_set_expand(reader->png);
    png_set_gray_to_rgb(reader->png);
    png_set_interlace_handling(reader->png);
    png_read_update_info(reader->png, reader->info);
    reader->channels = png_get_channels(reader->png, reader->info);
    reader->depth = png_get_bit_depth(reader->png, reader->info);
    reader->row_bytes = png_get_rowbytes(reader->png, reader->info);
    reader->pixels = calloc(reader->interlaced ? reader->height : 1, reader->row_bytes);
    if (reader->pixels == NULL) {
        png_error(reader->png, "out of memory");
    }
}

tsr_png_reader *tsr_png_open(int descriptor, const tsr_png_limits *limits,
                             char error[TSR_PNG_ERROR_LENGTH]) {
    tsr_png_reader *reader = calloc(1, sizeof *reader);
    if (reader == NULL || (reader->file = fdopen(descriptor, "rb")) == NULL) {
        snprintf(error, TSR_PNG_ERROR_LENGTH, "out of memory");
        close(descriptor);
        free(reader);
        return NULL;
    }
    snprintf(reader->failure.message, TSR_PNG_ERROR_LENGTH, "libpng could not be started");
    if (setjmp(reader->failure.jump)) {
        tsr_png_copy_message(error, &reader->failure);
        tsr_png_close(reader);
        return NULL;
    }
    reader->png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &reader->failure, tsr_png_raise,
                                         tsr_png_ignore);
    reader->info = reader->png == NULL ? NULL : png_create_info_struct(reader->png);
    if (reader->info == NULL) {
        longjmp(reader->failure.jump, 1);
    }
    begin(reader, limits);
    return reader;
}

uint32_t tsr_png_width(const tsr_png_reader *reader) { return reader->width; }

uint32_t tsr_png_height(const tsr_png_reader *reader) { return reader->height; }

/// All passes over an interlaced picture, each of which fills in more of every row.
static void read_interlaced(tsr_png_reader *reader) {
    for (int pass = 0; pass < PNG_INTERLACE_ADAM7_PASSES; pass++) {
        for (uint32_t row = 0; row < reader->height; row++) {
            png_read_row(reader->png, reader->pixels + row * reader->row_bytes, NULL);
        }
    }
}

static float sample(const tsr_png_reader *reader, const uint8_t *pixel, int channel) {
    return reader->depth == 16
               ? (float)(pixel[2 * channel] << 8 | pixel[2 * channel + 1]) / 65535
               : (float)pixel[channel] / 255;
}

/// Over white, where the row has an alpha channel.
static void spread(const tsr_png_reader *reader, const uint8_t *row, float *planes[3]) {
    size_t size = (size_t)reader->channels * reader->depth / 8;
    for (uint32_t x = 0; x < reader->width; x++) {
        const uint8_t *pixel = row + x * size;
        float alpha = reader->channels == 4 ? sample(reader, pixel, 3) : 1;
        for (int channel = 0; channel < 3; channel++) {
            planes[channel][x] = sample(reader, pixel, channel) * alpha + (1 - alpha);
        }
    }
}

int tsr_png_next_row(tsr_png_reader *reader, float *red, float *green, float *blue,
                     char error[TSR_PNG_ERROR_LENGTH]) {
    if (setjmp(reader->failure.jump)) {
        tsr_png_copy_message(error, &reader->failure);
        return -1;
    }
    if (!reader->interlaced) {
        png_read_row(reader->png, reader->pixels, NULL);
    } else if (reader->next_row == 0) {
        read_interlaced(reader);
    }
    const uint8_t *row =
        reader->pixels + (reader->interlaced ? reader->next_row * reader->row_bytes : 0);
    spread(reader, row, (float *[3]){red, green, blue});
    reader->next_row++;
    if (reader->next_row == reader->height) {
        png_read_end(reader->png, NULL);
    }
    return 0;
}

void tsr_png_close(tsr_png_reader *reader) {
    if (reader == NULL) {
        return;
    }
    png_destroy_read_struct(&reader->png, &reader->info, NULL);
    free(reader->pixels);
    fclose(reader->file);
    free(reader);
}
