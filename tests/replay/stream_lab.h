/*
 * Both ends of a stream in one thread.  The source answers requests that are in
 * a socket already, and what it says is given to a replica from another one: so
 * what is between them can be cut and damaged anywhere.
 */
#ifndef TEST_REPLAY_STREAM_LAB_H
#define TEST_REPLAY_STREAM_LAB_H

#include "fixture.h"
#include "stream_frame.h"

#define LAB_TEXT "Subject: x\r\n\r\n" /* the one message */

enum { LAB_TEXT_SIZE = sizeof(LAB_TEXT) - 1 };

enum { BYTES_MAX = 1 << 20, SOCKET_SIZE = 1 << 20, GROUPS = 4 };

struct pair {
	int near;
	int far;
};

struct lab {
	struct mbj_store_options options;
	struct fixture f;
	struct mbj_hash blob;
	struct mbj_buf requests;
	struct mbj_buf answers;
};

/* A source for a thread, which is sender_run. */
struct sender {
	const char *dir;
	int fd;
	enum mbj_rc rc;
};

/* What each does is said where it is. */
void pair_open(struct pair *pair);
void pair_close(struct pair *pair);
enum mbj_rc source_ask(const char *dir, const struct mbj_buf *requests,
		       struct mbj_buf *ret_answers, struct mbj_error *ret_why);
enum mbj_rc source_ask_bounded(const char *dir, unsigned level_max,
			       const struct mbj_buf *requests,
			       struct mbj_buf *ret_answers,
			       struct mbj_error *ret_why);
enum mbj_rc replica_hear(struct mbj_store *replica, struct mbj_bytes answers,
			 struct mbj_stream_result *ret_result,
			 struct mbj_error *ret_why);
enum mbj_rc replica_hear_packed(struct mbj_store *replica,
				struct mbj_bytes answers,
				struct mbj_stream_result *ret_result,
				struct mbj_buf *ret_sent,
				struct mbj_error *ret_why);
enum mbj_rc replica_stay(struct mbj_store *replica, struct mbj_bytes answers,
			 struct mbj_stream_result *ret_result,
			 struct mbj_error *ret_why);
void hello_put(struct mbj_buf *buf, uint16_t lowest, uint16_t highest,
	       uint64_t applied);
void fetch_put(struct mbj_buf *buf, uint64_t from, uint32_t bytes_max);
void contents_put(struct mbj_buf *buf, const struct mbj_hash *blob,
		  uint64_t size);
void lab_begin(struct lab *lab);
void lab_end(struct lab *lab);
void replica_renew(struct lab *lab, int number);
void replica_check(struct lab *lab);
void replica_resume(struct lab *lab);
void names_import(struct lab *lab, int count);
void large_import(struct lab *lab);
void *sender_run(void *context);

#endif
