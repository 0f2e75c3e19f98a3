/*
 * Scripts of the fuzzer's own machine: four bytes a step, a verb and three
 * operands that always mean something, so that any bytes are a script and
 * most changes of a byte make another good one.  And their mutations, by
 * steps instead of bytes.
 */
#ifndef FUZZ_SCRIPT_H
#define FUZZ_SCRIPT_H

#include <stddef.h>
#include <stdint.h>

/* X(name, what a, b, c are) */
#define SCRIPT_VERB_MAP(X)                                                    \
	X(RENAME, "mailbox; other mailbox or parent; name or its slot")       \
	X(SUBMIT, "emptying; -; -: renames, changes, messages, each at once") \
	X(CREATE, "-; parent; name")                                          \
	X(MOVE, "mailbox; parent; name")                                      \
	X(DESTROY, "mailbox; -; -")                                           \
	X(RECONCILE, "emptying; -; -: the tree with the changes, as a list")  \
	X(DELIVER, "replica; group; how")                                     \
	X(CRASH, "who; when; what is kept")                                   \
	X(APPEND, "mailbox; UID and content; flags: a message")               \
	X(FLAGS, "mailbox; UIDs; how, and which flags")                       \
	X(EXPUNGE, "mailbox; UIDs; -")                                        \
	X(COPY, "mailbox; UIDs; other mailbox, copy or move")

enum script_verb {
#define X(name, text) SCRIPT_##name,
	SCRIPT_VERB_MAP(X)
#undef X
		SCRIPT_VERBS
};

enum { SCRIPT_STEP_SIZE = 4, SCRIPT_STEPS_MAX = 64 };

struct script_step {
	uint8_t verb; /* modulo SCRIPT_VERBS */
	uint8_t a;
	uint8_t b;
	uint8_t c;
};

/* Change size bytes of at most max; returns their new number. */
size_t script_mutate(uint8_t *data, size_t size, size_t max, unsigned seed);
/* The beginning of one and the end of another. */
size_t script_cross(const uint8_t *one, size_t one_size, const uint8_t *two,
		    size_t two_size, uint8_t *out, size_t max, unsigned seed);

#endif
