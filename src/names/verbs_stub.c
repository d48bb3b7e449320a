#include "names/rewrite.h"
void tare_drop_from(struct tare_weights *w, const char *pattern, int64_t first, const char *why) {(void)w;(void)pattern;(void)first;(void)why;}
void tare_replace(struct tare_weights *w, const char *text, const char *by){(void)w;(void)text;(void)by;}
void tare_swap_axes(struct tare_weights *w, const char *pattern){(void)w;(void)pattern;}
void tare_reshape(struct tare_weights *w, const char *pattern, int rank, const int64_t *shape){(void)w;(void)pattern;(void)rank;(void)shape;}
void tare_squeeze(struct tare_weights *w, const char *pattern){(void)w;(void)pattern;}
void tare_multiply(struct tare_weights *w, const char *pattern, double factor){(void)w;(void)pattern;(void)factor;}
void tare_multiply_rows(struct tare_weights *w, const char *pattern, const double *factor, const int64_t *size, size_t n){(void)w;(void)pattern;(void)factor;(void)size;(void)n;}
void tare_divide_by_norm(struct tare_weights *w, const char *pattern, int axis){(void)w;(void)pattern;(void)axis;}
void tare_split_sizes(struct tare_weights *w, const char *pattern, int axis, const char *const *targets, const int64_t *sizes, size_t n){(void)w;(void)pattern;(void)axis;(void)targets;(void)sizes;(void)n;}
void tare_split_alternating(struct tare_weights *w, const char *pattern, int axis, const char *const *targets, size_t n){(void)w;(void)pattern;(void)axis;(void)targets;(void)n;}
void tare_split_numbered(struct tare_weights *w, const char *pattern, const char *target, int64_t n){(void)w;(void)pattern;(void)target;(void)n;}
void tare_join(struct tare_weights *w, const char *const *patterns, size_t n, int axis, const char *target){(void)w;(void)patterns;(void)n;(void)axis;(void)target;}
