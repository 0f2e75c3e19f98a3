/*
 * What benches leave on disk.
 */
#ifndef BENCH_DIR_H
#define BENCH_DIR_H

#include <stddef.h>

/*
 * A new directory in parent, or in /tmp where that is NULL; where none can be
 * made the program ends.
 */
void bench_dir_make(char *ret_path, size_t size, const char *parent);
/* Remove a directory and all below it; 0, or -1 with errno. */
int bench_dir_remove(const char *path);

#endif
