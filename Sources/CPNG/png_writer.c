#include <stdlib.h>
#include <string.h>

#include "CPNG.h"
#include "png_failure.h"

struct tsr_png_writer {
    png_structp png;
    png_infop info;
    uint32_t width;
    uint8_t *bytes;
    size_t length;
    size_t capacity;
    tsr_png_failure failure;
};

static void append(png_structp png, png_bytep bytes, size_t length) {
    tsr_png_writer *writer = png_get_io_ptr(png);
    if (length > writer->capacity - writer->length) {
        size_t capacity = 2 * (writer->length + length);
        uint8_t *grown = realloc(writer->bytes, capacity);
        if (grown == NULL) {
            png_error(png, "out of memory");
        }
        writer->bytes = grown;
        writer->capacity = capacity;
    }
    memcpy(writer->bytes + writer->length, bytes, length);
    writer->length += length;
}

static void flush_nothing(png_structp png) { (void)png; }

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

tsr_png_writer *tsr_png_begin(uint32_t width, uint32_t height, const tsr_png_text *texts,
                              size_t text_count, char error[TSR_PNG_ERROR_LENGTH]) {
    tsr_png_writer *writer = calloc(1, sizeof *writer);
    if (writer == NULL) {
        snprintf(error, TSR_PNG_ERROR_LENGTH, "out of memory");
        return NULL;
    }
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
    png_set_write_fn(writer->png, writer, append, flush_nothing);
    png_set_IHDR(writer->png, writer->info, width, height, 8, PNG_COLOR_TYPE_RGB,
                 PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_set_sRGB(writer->png, writer->info, PNG_sRGB_INTENT_PERCEPTUAL);
    set_texts(writer, texts, text_count);
    png_write_info(writer->png, writer->info);
    return writer;
}

int tsr_png_row(tsr_png_writer *writer, const uint8_t *rows, size_t index,
                char error[TSR_PNG_ERROR_LENGTH]) {
    if (setjmp(writer->failure.jump)) {
        tsr_png_copy_message(error, &writer->failure);
        return -1;
    }
    png_write_row(writer->png, rows + index * writer->width * 3);
    return 0;
}

int tsr_png_finish(tsr_png_writer *writer, char error[TSR_PNG_ERROR_LENGTH]) {
    if (setjmp(writer->failure.jump)) {
        tsr_png_copy_message(error, &writer->failure);
        return -1;
    }
    png_write_end(writer->png, NULL);
    return 0;
}

size_t tsr_png_length(const tsr_png_writer *writer) { return writer->length; }

const uint8_t *tsr_png_take(tsr_png_writer *writer) {
    writer->length = 0;
    return writer->bytes;
}

void tsr_png_free(tsr_png_writer *writer) {
    if (writer == NULL) {
        return;
    }
    png_destroy_write_struct(&writer->png, &writer->info);
    free(writer->bytes);
    free(writer);
}

const char *tsr_png_library_version(void) { return png_get_libpng_ver(NULL); }
