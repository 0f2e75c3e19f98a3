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
	struct mbj_error why;
	size_t said;
};

/*
 * The replica follows the source in dir to its end, or until so many bytes of
 * the source came through; a bit of byte flip is another one.
 */
enum mbj_rc meet(struct lab *lab, const char *dir, size_t cut, size_t flip,
		 struct meeting *ret);

#endif
