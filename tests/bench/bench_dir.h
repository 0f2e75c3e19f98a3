/*
 * What benches leave on disk.
 */
#ifndef BENCH_DIR_H
#define BENCH_DIR_H

/* Remove a directory and all below it; 0, or -1 with errno. */
int bench_dir_remove(const char *path);

#endif
