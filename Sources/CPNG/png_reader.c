#include <stdlib.h>
#include <string.h>

#include "CPNG.h"
#include "png_failure.h"

typedef struct {
    png_structp png;
    png_infop info;
    FILE *file;
    png_bytepp rows;
    tsr_png_failure failure;
} reader;

static void *allocate(reader *self, size_t count, size_t size) {
    void *memory = calloc(count == 0 ? 1 : count, size);
    if (memory == NULL) {
        png_error(self->png, "out of memory");
    }
    return memory;
}

static void copy_texts(reader *self, tsr_png_picture *picture) {
    png_textp texts = NULL;
    int count = 0;
    png_get_text(self->png, self->info, &texts, &count);
    picture->keywords = allocate(self, (size_t)count, sizeof(char *));
    picture->texts = allocate(self, (size_t)count, sizeof(char *));
    for (int i = 0; i < count; i++) {
        picture->keywords[i] = strdup(texts[i].key);
        picture->texts[i] = strdup(texts[i].text == NULL ? "" : texts[i].text);
        picture->text_count++;
    }
}

static void read_pixels(reader *self, tsr_png_picture *picture) {
    picture->width = png_get_image_width(self->png, self->info);
    picture->height = png_get_image_height(self->png, self->info);
    picture->pixels = allocate(self, (size_t)picture->width * picture->height, 3);
    self->rows = allocate(self, picture->height, sizeof(png_bytep));
    for (uint32_t row = 0; row < picture->height; row++) {
        self->rows[row] = picture->pixels + (size_t)row * picture->width * 3;
    }
    png_read_image(self->png, self->rows);
}

static void close_reader(reader *self) {
    png_destroy_read_struct(&self->png, &self->info, NULL);
    free(self->rows);
    if (self->file != NULL) {
        fclose(self->file);
    }
    free(self);
}

int tsr_png_read(const char *path, tsr_png_picture *picture, char error[TSR_PNG_ERROR_LENGTH]) {
    memset(picture, 0, sizeof *picture);
    reader *self = calloc(1, sizeof *self);
    if (self == NULL || (self->file = fopen(path, "rb")) == NULL) {
        snprintf(error, TSR_PNG_ERROR_LENGTH, "%s cannot be opened", path);
        free(self);
        return -1;
    }
    snprintf(self->failure.message, TSR_PNG_ERROR_LENGTH, "libpng could not be started");
    if (setjmp(self->failure.jump)) {
        tsr_png_copy_message(error, &self->failure);
        close_reader(self);
        tsr_png_free_picture(picture);
        return -1;
    }
    self->png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &self->failure, tsr_png_raise,
                                       tsr_png_ignore);
    self->info = self->png == NULL ? NULL : png_create_info_struct(self->png);
    if (self->info == NULL) {
        longjmp(self->failure.jump, 1);
    }
    png_init_io(self->png, self->file);
    png_read_info(self->png, self->info);
    png_set_expand(self->png);
    png_set_strip_16(self->png);
    png_set_strip_alpha(self->png);
    png_set_gray_to_rgb(self->png);
    png_read_update_info(self->png, self->info);
    read_pixels(self, picture);
    png_read_end(self->png, self->info);
    copy_texts(self, picture);
    close_reader(self);
    return 0;
}

void tsr_png_free_picture(tsr_png_picture *picture) {
    for (size_t i = 0; i < picture->text_count; i++) {
        free(picture->keywords[i]);
        free(picture->texts[i]);
    }
    free(picture->keywords);
    free(picture->texts);
    free(picture->pixels);
    memset(picture, 0, sizeof *picture);
}
