/*
 * Scripts by the million without a fuzzing engine: no coverage to steer by,
 * but nothing in the way either.  For long runs, and for saying what an
 * execution costs.
 */
#ifndef FUZZ_DRIVE_H
#define FUZZ_DRIVE_H

/*
 * program --seed S [--executions N] [--seconds N] [--save DIR] [CORPUS ...]:
 * run the target on mutations of the corpus until the first limit, print what
 * it came to; an input that ends the process, or does not end, is written to
 * DIR (default: here).  The same seed, number and corpus are the same inputs.
 * Returns the process's exit code: 1 after such a find, 2 for bad arguments.
 */
int drive(int argc, char **argv);

#endif
