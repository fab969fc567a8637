#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "CPNGWriter.h"
#include "png_failure.h"

enum { BUFFER_LENGTH = 1 << 16 };

struct tsr_png_writer {
    png_structp png;
    png_infop info;
    uint32_t width;
    int descriptor;
    size_t buffered;
    uint8_t buffer[BUFFER_LENGTH];
    tsr_png_failure failure;
};

static void write_all(png_structp png, int descriptor, const uint8_t *bytes, size_t length) {
    while (length > 0) {
        ssize_t written = write(descriptor, bytes, length);
        if (written < 0 && errno == EINTR) {
            continue;
        }
        if (written <= 0) {
            png_error(png, strerror(errno));
        }
        bytes += written;
        length -= (size_t)written;
    }
}

static void flush_buffer(png_structp png) {
    tsr_png_writer *writer = png_get_io_ptr(png);
    write_all(png, writer->descriptor, writer->buffer, writer->buffered);
    writer->buffered = 0;
}

static void append(png_structp png, png_bytep bytes, size_t length) {
    tsr_png_writer *writer = png_get_io_ptr(png);
    if (writer->buffered + length > BUFFER_LENGTH) {
        flush_buffer(png);
    }
    if (length > BUFFER_LENGTH) {
        write_all(png, writer->descriptor, bytes, length);
        return;
    }
    memcpy(writer->buffer + writer->buffered, bytes, length);
    writer->buffered += length;
}

static int is_ascii(const char *text) {
    for (; *text != 0; text++) {
        if ((unsigned char)*text >= 0x80) {
            return 0;
        }
    }
    return 1;
}

static void set_texts(tsr_png_writer *writer, const tsr_png_text *texts, size_t count) {
    for (size_t i = 0; i < count; i++) {
        png_text text = {0};
        text.key = (char *)texts[i].keyword;
        text.text = (char *)texts[i].text;
        if (is_ascii(texts[i].text)) {
            text.compression = PNG_TEXT_COMPRESSION_NONE;
            text.text_length = strlen(texts[i].text);
        } else {
            text.compression = PNG_ITXT_COMPRESSION_NONE;
            text.itxt_length = strlen(texts[i].text);
        }
        png_set_text(writer->png, writer->info, &text, 1);
    }
}

tsr_png_writer *tsr_png_begin(int descriptor, uint32_t width, uint32_t height,
                              const tsr_png_text *texts, size_t text_count,
                              char error[TSR_PNG_ERROR_LENGTH]) {
    tsr_png_writer *writer = calloc(1, sizeof *writer);
    if (writer == NULL) {
        snprintf(error, TSR_PNG_ERROR_LENGTH, "out of memory");
        return NULL;
    }
    writer->descriptor = descriptor;
    writer->width = width;
    snprintf(writer->failure.message, TSR_PNG_ERROR_LENGTH, "libpng could not be started");
    if (setjmp(writer->failure.jump)) {
        tsr_png_copy_message(error, &writer->failure);
        tsr_png_free(writer);
        return NULL;
    }
    writer->png = png_create_write_struct(PNG_LIBPNG_VER_STRING, &writer->failure, tsr_png_raise,
                                          tsr_png_ignore);
    writer->info = writer->png == NULL ? NULL : png_create_info_struct(writer->png);
    if (writer->info == NULL) {
        longjmp(writer->failure.jump, 1);
    }
    png_set_write_fn(writer->png, writer, append, flush_buffer);
    png_set_IHDR(writer->png, writer->info, width, height, 8, PNG_COLOR_TYPE_RGB,
                 PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_set_sRGB(writer->png, writer->info, PNG_sRGB_INTENT_PERCEPTUAL);
    set_texts(writer, texts, text_count);
    png_write_info(writer->png, writer->info);
    return writer;
}

int tsr_png_rows(tsr_png_writer *writer, const uint8_t *rows, uint32_t count,
                 char error[TSR_PNG_ERROR_LENGTH]) {
    if (setjmp(writer->failure.jump)) {
        tsr_png_copy_message(error, &writer->failure);
        return -1;
    }
    for (uint32_t row = 0; row < count; row++) {
        png_write_row(writer->png, rows + (size_t)row * writer->width * 3);
    }
    return 0;
}

int tsr_png_finish(tsr_png_writer *writer, char error[TSR_PNG_ERROR_LENGTH]) {
    if (setjmp(writer->failure.jump)) {
        tsr_png_copy_message(error, &writer->failure);
        return -1;
    }
    png_write_end(writer->png, NULL);
    flush_buffer(writer->png);
    return 0;
}

void tsr_png_free(tsr_png_writer *writer) {
    if (writer == NULL) {
        return;
    }
    png_destroy_write_struct(&writer->png, &writer->info);
    free(writer);
}

const char *tsr_png_library_version(void) { return png_get_libpng_ver(NULL); }
