/*
 * Both ends of a stream in threads, and somebody between them who cuts and
 * bends what the source says.
 */
#ifndef TEST_REPLAY_BETWEEN_H
#define TEST_REPLAY_BETWEEN_H

#include "stream_lab.h"

enum { ENOUGH = 1 << 30 }; /* more bytes than are said */

struct meeting {
	struct mbj_stream_result result;
	struct mbj_resync_result resync; /* of one account */
	struct mbj_error why;
	size_t said;
};

struct encounter {
	size_t cut;  /* so many bytes of the source come through */
	size_t flip; /* a bit of this one is another one */
	bool is_mending;
	struct mbj_id account; /* is made again, ROOT: it follows */
};

/* The replica follows the source in dir to its end, or to the cut. */
enum mbj_rc meet_with(struct fixture *f, const char *dir,
		      const struct encounter *how, struct meeting *ret);
enum mbj_rc meet(struct lab *lab, const char *dir, size_t cut, size_t flip,
		 struct meeting *ret);

#endif
